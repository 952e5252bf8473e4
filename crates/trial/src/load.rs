//! Photos on their way to the validators, and what became of each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use birthmark_protocol::Digest;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex as Turn, mpsc};
use tokio::task::JoinSet;

use crate::camera::{Camera, Photo};
use crate::http::{self, Connection};

/// After this long a validator that does not answer is given up for this photo.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many photos wait for each connection.
const WAITING: usize = 4;

/// What became of all photos so far.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

/// What became of all photos.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pages {
    /// Answered with 202: these must never be lost.
    pub(crate) accepted: Vec<Sent>,
    /// The connection ended before an answer came.
    pub(crate) unknown: Vec<Digest>,
    /// Answered with anything else.
    pub(crate) refused: u64,
    /// The first such answer, in words.
    pub(crate) refusal: Option<String>,
    /// Nobody could be reached.
    pub(crate) unsent: u64,
}

/// A photo that a validator took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) digest: Digest,
    pub(crate) at: Instant,
}

impl Book {
    pub(crate) fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.open().accepted.len()
    }
}

/// Connections to all validators.
pub(crate) struct Senders {
    book: Arc<Book>,
    members: Vec<mpsc::Sender<Photo>>,
    turn: usize,
    tasks: JoinSet<()>,
}

impl Senders {
    /// So many connections to each.
    pub(crate) fn start(book: &Arc<Book>, addresses: &[SocketAddr], connections: usize) -> Self {
        let mut tasks = JoinSet::new();
        let mut members = Vec::new();
        for address in addresses.iter().copied() {
            let (sender, receiver) = mpsc::channel(connections * WAITING);
            let receiver = Arc::new(Turn::new(receiver));
            for _ in 0..connections {
                let sender = Sender {
                    book: Arc::clone(book),
                    address,
                    photos: Arc::clone(&receiver),
                };
                tasks.spawn(sender.run());
            }
            members.push(sender);
        }
        let book = Arc::clone(book);
        Self {
            book,
            members,
            turn: 0,
            tasks,
        }
    }

    /// Gives a photo to the next validator that takes any.
    pub(crate) fn offer(&mut self, mut photo: Photo) {
        for _ in 0..self.members.len() {
            self.turn = (self.turn + 1) % self.members.len();
            let Some(member) = self.members.get(self.turn) else {
                continue;
            };
            match member.try_send(photo) {
                Ok(()) => return,
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => photo = back,
            }
        }
        self.book.open().unsent += 1;
    }

    /// Gives a photo to the next validator, as soon as it takes one.
    pub(crate) async fn give(&mut self, photo: Photo) {
        self.turn = (self.turn + 1) % self.members.len();
        if let Some(member) = self.members.get(self.turn)
            && member.send(photo).await.is_err()
        {
            self.book.open().unsent += 1;
        }
    }

    /// Waits until everything that was given is answered.
    pub(crate) async fn finish(self) {
        let Self {
            members, mut tasks, ..
        } = self;
        drop(members);
        while tasks.join_next().await.is_some() {}
    }
}

/// Offers so many photos a second until it is dropped.
pub(crate) async fn pace(
    senders: &mut Senders,
    cameras: &[Camera],
    rate: f64,
) -> anyhow::Result<()> {
    if rate <= 0.0 || cameras.is_empty() {
        return std::future::pending().await;
    }
    let mut beat = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    for camera in cameras.iter().cycle() {
        beat.tick().await;
        senders.offer(camera.photo()?);
    }
    Ok(())
}

struct Sender {
    book: Arc<Book>,
    address: SocketAddr,
    photos: Arc<Turn<mpsc::Receiver<Photo>>>,
}

impl Sender {
    async fn run(self) {
        let mut connection = None;
        loop {
            let next = self.photos.lock().await.recv().await;
            let Some(photo) = next else {
                return;
            };
            self.send(&mut connection, photo).await;
        }
    }

    async fn send(&self, kept: &mut Option<Connection>, photo: Photo) {
        let opened = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(self.address).await,
        };
        let Ok(mut connection) = opened else {
            self.book.open().unsent += 1;
            // It is down; the others take more meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return;
        };
        let request = http::post("/api/v1/submit-cert", &photo.body);
        let (digest, at) = (photo.digest, Instant::now());
        let answered = tokio::time::timeout(PATIENCE, connection.send(&request)).await;
        match answered {
            Ok(Ok((202, _))) => self.book.open().accepted.push(Sent { digest, at }),
            Ok(Ok((status, body))) => {
                let words = || format!("{status}: {}", String::from_utf8_lossy(body));
                let mut pages = self.book.open();
                pages.refused += 1;
                pages.refusal.get_or_insert_with(words);
            }
            Ok(Err(_)) | Err(_) => {
                self.book.open().unknown.push(digest);
                return;
            }
        }
        *kept = Some(connection);
    }
}
