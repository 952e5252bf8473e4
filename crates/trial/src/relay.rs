//! A relay in front of a validator: real TCP on both sides, and whatever weather is wanted between.
//!
//! What is cut is kept, as the network would have it sent again: a cut connection stays open and
//! says nothing, until it is given up or healed. A packet that is lost costs the time until TCP
//! sends it again, and what comes after it waits for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::random::Random;

/// What one packet carries.
const PACKET: usize = 1448;
/// The shortest time after which TCP sends a lost packet again.
const SENT_AGAIN: Duration = Duration::from_millis(200);
/// How many pieces are on their way at most.
const ON_THE_WAY: usize = 256;

/// How a link behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    /// Nothing gets through.
    pub(crate) is_cut: bool,
    /// One way.
    pub(crate) delay: Duration,
    /// So many packets of a thousand are lost.
    pub(crate) loss: u32,
}

/// One direction of dialling: from one validator to another.
pub(crate) struct Link {
    weather: watch::Sender<Weather>,
    carried: AtomicU64,
    random: Mutex<Random>,
}

impl Link {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            weather: watch::Sender::new(Weather::default()),
            carried: AtomicU64::new(0),
            random: Mutex::new(Random::from_seed(seed)),
        })
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Bytes carried so far, both ways, without the heads of packets.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Carries connections from `listener` to `to` until it is dropped.
    pub(crate) async fn carry(self: Arc<Self>, listener: TcpListener, to: SocketAddr) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            // Too many open files: the dialler comes again.
            let Ok((dialler, _)) = accepted else {
                tokio::time::sleep(SENT_AGAIN).await;
                continue;
            };
            let link = Arc::clone(&self);
            connections.spawn(async move {
                link.until_open().await;
                // A validator that is down is seen by whoever dials: its connection ends.
                if let Ok(listener) = TcpStream::connect(to).await {
                    link.join(dialler, listener).await;
                }
            });
        }
    }

    async fn join(&self, dialler: TcpStream, listener: TcpStream) {
        for stream in [&dialler, &listener] {
            if stream.set_nodelay(true).is_err() {
                return;
            }
        }
        let (from_dialler, to_dialler) = dialler.into_split();
        let (from_listener, to_listener) = listener.into_split();
        tokio::select! {
            () = self.pump(from_dialler, to_listener) => {}
            () = self.pump(from_listener, to_dialler) => {}
        }
    }

    /// Carries one way until one end is gone and the other one may know.
    async fn pump(&self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        let taking = async {
            self.take(from, sender).await;
            // What is on its way still arrives.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.give(receiver, to) => {}
            () = taking => {}
        }
        self.until_open().await;
    }

    async fn take(
        &self,
        mut from: impl AsyncRead + Unpin,
        on_the_way: mpsc::Sender<(Instant, Vec<u8>)>,
    ) {
        loop {
            let mut piece = Vec::with_capacity(64 << 10);
            match from.read_buf(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let due = Instant::now() + self.travel(read);
                    if on_the_way.send((due, piece)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn give(
        &self,
        mut on_the_way: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: impl AsyncWrite + Unpin,
    ) {
        while let Some((due, piece)) = on_the_way.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            self.until_open().await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
            let length = piece.len() as u64;
            self.carried.fetch_add(length, Ordering::Relaxed);
        }
    }

    /// How long so many bytes take.
    fn travel(&self, bytes: usize) -> Duration {
        let weather = *self.weather.borrow();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let packets = bytes.div_ceil(PACKET);
        let lost = (0..packets)
            .filter(|_| random.happens(weather.loss))
            .count();
        match lost {
            0 => weather.delay,
            // Those of one piece are asked for together.
            _ => weather.delay * 3 + SENT_AGAIN,
        }
    }

    async fn until_open(&self) {
        let mut weather = self.weather.subscribe();
        // The sender is ours: it lives as long as this does.
        let _ = weather.wait_for(|weather| !weather.is_cut).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn through(link: &Arc<Link>, to: SocketAddr) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(link).carry(listener, to));
        TcpStream::connect(address).await.unwrap()
    }

    async fn round(stream: &mut TcpStream) -> Duration {
        let began = Instant::now();
        stream.write_all(b"four").await.unwrap();
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"four");
        began.elapsed()
    }

    #[tokio::test]
    async fn what_is_cut_waits_and_nothing_of_it_is_lost() {
        let (link, to) = (Link::new(1), echo().await);
        let mut stream = through(&link, to).await;
        round(&mut stream).await;
        let cut = Weather {
            is_cut: true,
            ..Weather::default()
        };
        link.set(cut);
        let waiting = tokio::time::timeout(Duration::from_millis(300), round(&mut stream));
        assert!(waiting.await.is_err(), "nothing gets through");
        link.set(Weather::default());
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"four");
        assert_eq!(link.carried(), 16, "both ways, twice");
    }

    #[tokio::test]
    async fn delay_counts_each_way_and_a_lost_packet_costs_more() {
        let (link, to) = (Link::new(1), echo().await);
        let mut stream = through(&link, to).await;
        link.set(Weather {
            delay: Duration::from_millis(50),
            ..Weather::default()
        });
        assert!(round(&mut stream).await >= Duration::from_millis(100));
        link.set(Weather {
            loss: 1000,
            ..Weather::default()
        });
        assert!(round(&mut stream).await >= SENT_AGAIN * 2);
    }

    #[tokio::test]
    async fn who_is_not_there_is_not_connected_to() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let mut stream = through(&Link::new(1), address).await;
        let read = stream.read(&mut [0; 1]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}
