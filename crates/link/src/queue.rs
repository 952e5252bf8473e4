//! What waits for one validator.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use birthmark_ledger::KeyName;
use tokio::sync::Notify;

/// How many messages wait for one validator on one channel.
const QUEUE: usize = 2048;
/// And how many bytes.
const QUEUE_BYTES: usize = 32 << 20;
/// What waited longer is not sent any more.
const STALE: Duration = Duration::from_secs(15);

/// Which of a validator's two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Votes and blocks.
    Agreement,
    /// The shared pool.
    Pool,
}

/// A message and who sent it.
pub type Incoming = (KeyName, Vec<u8>);

/// What waits for one validator on one channel.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    added: Notify,
    is_connected: AtomicBool,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Instant, Arc<[u8]>)>,
    bytes: usize,
}

impl Channel {
    pub(crate) const ALL: [Self; 2] = [Self::Agreement, Self::Pool];

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Agreement => 1,
            Self::Pool => 2,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Agreement),
            2 => Some(Self::Pool),
            _ => None,
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            added: Notify::new(),
            is_connected: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        })
    }

    pub(crate) fn push(&self, message: Arc<[u8]>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes += message.len();
        waiting.messages.push_back((Instant::now(), message));
        while waiting.messages.len() > QUEUE || waiting.bytes > QUEUE_BYTES {
            let Some((_, oldest)) = waiting.messages.pop_front() else {
                break;
            };
            waiting.bytes -= oldest.len();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.added.notify_one();
    }

    pub(crate) async fn pop(&self) -> Arc<[u8]> {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.added.notified().await;
        }
    }

    fn take(&self) -> Option<Arc<[u8]>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (since, message) = waiting.messages.pop_front()?;
            waiting.bytes -= message.len();
            if since.elapsed() < STALE {
                return Some(message);
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// How many messages were given up.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }
}
