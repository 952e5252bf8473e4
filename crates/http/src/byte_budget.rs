//! How many bytes of request bodies and of answers may be in memory at once: for all clients
//! together, and for each.
//!
//! A request's body is counted while it arrives and until its handler has let go of it; an answer
//! from the moment it is written until the kernel has taken its last byte. So whoever sends slowly
//! or reads slowly, or not at all, costs a known amount of memory, however many connections and
//! streams they open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::error::ApiError;

/// When a client that was turned away may come back.
const COME_BACK: Duration = Duration::from_secs(2);

/// The budgets of one server.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    bodies: Arc<Pool>,
    answers: Arc<Pool>,
    bodies_per_client: usize,
    answers_per_client: usize,
}

impl Default for ByteBudget {
    /// 64 MB of bodies, a quarter of them for one client: an authority's batch has up to 4 MB. 256
    /// MB of answers, an eighth of them for one client.
    fn default() -> Self {
        Self {
            bodies: Pool::of(64 << 20),
            answers: Pool::of(256 << 20),
            bodies_per_client: 16 << 20,
            answers_per_client: 32 << 20,
        }
    }
}

impl ByteBudget {
    /// So many bytes of bodies in all and for one client.
    pub fn with_bodies(self, all: usize, per_client: usize) -> Self {
        Self {
            bodies: Pool::of(all),
            bodies_per_client: per_client,
            ..self
        }
    }

    /// So many bytes of answers in all and for one client.
    pub fn with_answers(self, all: usize, per_client: usize) -> Self {
        Self {
            answers: Pool::of(all),
            answers_per_client: per_client,
            ..self
        }
    }

    /// Bytes of request bodies that are in memory now.
    pub fn bodies_held(&self) -> usize {
        self.bodies.held.load(Ordering::Relaxed)
    }

    /// Bytes of answers that are in memory now.
    pub fn answers_held(&self) -> usize {
        self.answers.held.load(Ordering::Relaxed)
    }

    /// What one client may take of it.
    pub(crate) fn account(&self) -> Account {
        Account {
            bodies: [Pool::of(self.bodies_per_client), Arc::clone(&self.bodies)],
            answers: [Pool::of(self.answers_per_client), Arc::clone(&self.answers)],
        }
    }

    /// What a proxy or this machine may take of it, who speak for many.
    pub(crate) fn account_of_many(&self) -> Account {
        Account {
            bodies: [Pool::of(usize::MAX), Arc::clone(&self.bodies)],
            answers: [Pool::of(usize::MAX), Arc::clone(&self.answers)],
        }
    }
}

/// A number of bytes, and how many of them are taken.
#[derive(Debug)]
struct Pool {
    size: usize,
    held: AtomicUsize,
}

impl Pool {
    fn of(size: usize) -> Arc<Self> {
        Arc::new(Self {
            size,
            held: AtomicUsize::new(0),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before
            .checked_add(bytes)
            .is_some_and(|after| after <= self.size);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Which budget did not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverBudget {
    #[error("the client's budget of bytes is used up")]
    Client,
    #[error("the server's budget of bytes is used up")]
    All,
}

/// The client's pool, then that of all.
type Pools = [Arc<Pool>; 2];

/// What one client holds and may hold.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    bodies: Pools,
    answers: Pools,
}

impl Account {
    /// Room for a request's body, of which nothing has arrived yet.
    pub(crate) fn body(&self) -> Lease {
        Lease {
            pools: self.bodies.clone(),
            bytes: 0,
        }
    }

    /// Room for an answer of this size.
    pub(crate) fn answer(&self, bytes: usize) -> Result<Lease, OverBudget> {
        let mut lease = Lease {
            pools: self.answers.clone(),
            bytes: 0,
        };
        lease.grow(bytes).map(|()| lease)
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pools: Pools,
    bytes: usize,
}

impl Lease {
    /// Counts so many more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let [client, all] = &self.pools;
        if !client.take(bytes) {
            return Err(OverBudget::Client);
        }
        if !all.take(bytes) {
            client.give_back(bytes);
            return Err(OverBudget::All);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pools
            .iter()
            .for_each(|pool| pool.give_back(self.bytes));
    }
}

/// Bytes with their lease: counted until the last reference to them is gone.
pub(crate) fn leased(bytes: Bytes, lease: Lease) -> Bytes {
    struct Leased(
        Bytes,
        #[expect(dead_code, reason = "counts while it lives")] Lease,
    );
    impl AsRef<[u8]> for Leased {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Leased(bytes, lease))
}

impl OverBudget {
    pub(crate) fn of_bodies(self) -> ApiError {
        match self {
            Self::Client => ApiError::too_many(
                "too many bytes of requests from your address are on the way; come back later",
                COME_BACK,
            ),
            Self::All => ApiError::unavailable(
                "too many bytes of requests are on the way; come back later",
                COME_BACK,
            ),
        }
    }

    pub(crate) fn of_answers(self) -> ApiError {
        match self {
            Self::Client => ApiError::too_many(
                "answers to your address wait to be read; read them, and come back later",
                COME_BACK,
            ),
            Self::All => ApiError::unavailable(
                "too many answers wait to be read; come back later",
                COME_BACK,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_takes_its_share_and_all_together_what_there_is() {
        let budget = ByteBudget::default().with_answers(100, 60);
        let (one, other) = (budget.account(), budget.account());
        let first = one.answer(60).unwrap();
        assert_eq!(one.answer(1).unwrap_err(), OverBudget::Client);
        assert_eq!(other.answer(41).unwrap_err(), OverBudget::All);
        let second = other.answer(40).unwrap();
        assert_eq!(budget.answers_held(), 100);
        drop((first, second));
        assert_eq!(budget.answers_held(), 0);
        assert!(one.answer(60).is_ok(), "what was refused took nothing");
    }

    #[test]
    fn a_proxy_takes_what_there_is() {
        let budget = ByteBudget::default().with_answers(100, 10);
        assert!(budget.account_of_many().answer(100).is_ok());
        assert_eq!(
            budget.account_of_many().answer(101).unwrap_err(),
            OverBudget::All
        );
    }

    #[test]
    fn a_body_is_counted_until_nobody_holds_it() {
        let budget = ByteBudget::default();
        let mut lease = budget.account().body();
        lease.grow(5).unwrap();
        let body = leased(Bytes::from_static(b"bytes"), lease);
        let copy = body.clone();
        drop(body);
        assert_eq!((budget.bodies_held(), copy.as_ref()), (5, &b"bytes"[..]));
        drop(copy);
        assert_eq!(budget.bodies_held(), 0);
    }

    #[test]
    fn sizes_beyond_all_numbers_are_refused() {
        let budget = ByteBudget::default();
        let _held = budget.account().answer(1).unwrap();
        assert!(budget.account_of_many().answer(usize::MAX).is_err());
        assert_eq!(budget.answers_held(), 1);
    }
}
