//! The one thread that owns the key store, and the queue in front of it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::SignerError;
use crate::vault::Vault;

type Work = Box<dyn FnOnce(&mut Vault) + Send>;

struct Job {
    deadline: Instant,
    work: Work,
}

/// Hands work to the thread. Cloned for every caller.
#[derive(Clone)]
pub struct Keeper {
    /// Nothing is the wish to stop.
    jobs: SyncSender<Option<Job>>,
    length: usize,
    deadline: Duration,
}

/// A thread that has been started.
pub struct Started {
    /// What hands work to it.
    pub keeper: Keeper,
    /// Whether it could open the vault.
    pub opened: oneshot::Receiver<Result<(), SignerError>>,
    /// Resolves when it has ended, whyever.
    pub ended: oneshot::Receiver<()>,
    /// Its end, to wait for.
    pub thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread, which makes its vault itself because a key store stays on one thread.
    pub fn start(
        open: impl FnOnce() -> Result<Vault, SignerError> + Send + 'static,
        length: usize,
        deadline: Duration,
    ) -> std::io::Result<Started> {
        let (jobs, queue) = sync_channel(length);
        let (tell, opened) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("key-store".to_owned())
            .spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                match open() {
                    Ok(vault) => {
                        let _ = tell.send(Ok(()));
                        work(vault, &queue);
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
            })?;
        let keeper = Self {
            jobs,
            length,
            deadline,
        };
        Ok(Started {
            keeper,
            opened,
            ended,
            thread,
        })
    }

    /// Has the thread do something, and waits for it no longer than the deadline.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vault) -> Result<T, SignerError> + Send + 'static,
    ) -> Result<T, SignerError> {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |vault| {
            // A caller that gave up does not hear the answer.
            let _ = reply.send(work(vault));
        });
        let job = Job {
            deadline: Instant::now() + self.deadline,
            work,
        };
        self.jobs.try_send(Some(job)).map_err(|error| match error {
            TrySendError::Full(_) => SignerError::Busy(self.length),
            TrySendError::Disconnected(_) => SignerError::Stopping,
        })?;
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            // The thread dropped the job because its time was over, or stopped, or died.
            Ok(Err(_)) | Err(_) => Err(SignerError::Late(self.deadline.as_secs())),
        }
    }

    /// Has the thread end after what is waiting already; only then everything in the chip is
    /// flushed. Blocks.
    pub fn stop(&self, thread: JoinHandle<()>) -> std::thread::Result<()> {
        // A thread that is gone already needs not be told.
        let _ = self.jobs.send(None);
        thread.join()
    }
}

fn work(mut vault: Vault, queue: &Receiver<Option<Job>>) {
    while let Ok(Some(job)) = queue.recv() {
        // Nobody waits any more: a signature now would only delay the next one.
        if Instant::now() < job.deadline {
            (job.work)(&mut vault);
        }
    }
}
