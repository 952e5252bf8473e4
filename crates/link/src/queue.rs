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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Arc<[u8]> {
        number.to_be_bytes().to_vec().into()
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_by_number() {
        let queue = Queue::new();
        (0..QUEUE + 3).for_each(|number| queue.push(message(number)));
        assert_eq!(queue.lost(), 3);
        for number in 3..QUEUE + 3 {
            assert_eq!(queue.pop().await, message(number));
        }
        assert!(queue.take().is_none());
        assert_eq!(queue.waiting.lock().unwrap().bytes, 0);
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_by_bytes() {
        let queue = Queue::new();
        let large: Arc<[u8]> = vec![7; QUEUE_BYTES / 4].into();
        queue.push(message(1));
        (0..4).for_each(|_| queue.push(Arc::clone(&large)));
        assert_eq!(queue.lost(), 1, "the small one made no room");
        queue.push(message(2));
        assert_eq!(queue.lost(), 2);
        for _ in 0..3 {
            assert_eq!(queue.pop().await.len(), large.len());
        }
        assert_eq!(queue.pop().await, message(2));
        // One that is larger than all of the queue would leave nothing else in it.
        queue.push(message(3));
        queue.push(vec![7; QUEUE_BYTES + 1].into());
        assert!(queue.take().is_none());
        assert_eq!(queue.lost(), 4);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_not_sent_any_more() {
        let queue = Queue::new();
        (1..=3).for_each(|number| queue.push(message(number)));
        for (since, _) in queue.waiting.lock().unwrap().messages.iter_mut().take(2) {
            *since = since.checked_sub(STALE).unwrap();
        }
        assert_eq!(queue.pop().await, message(3));
        assert_eq!(queue.lost(), 2);
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_next_message() {
        let queue = Queue::new();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.pop().await }
        });
        tokio::task::yield_now().await;
        queue.push(message(1));
        assert_eq!(waiting.await.unwrap(), message(1));
    }

    #[test]
    fn channels_are_named_by_a_byte() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_byte(channel.to_byte()), Some(channel));
        }
        assert!(
            [0, 3, 255]
                .map(Channel::from_byte)
                .iter()
                .all(Option::is_none)
        );
    }
}
