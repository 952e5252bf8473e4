//! How many callers may be connected at once, and how many of them one user of this machine may be.
//!
//! Root is counted like everybody: a tool that hangs as root must not keep a person from the
//! camera's switch.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many callers may be connected at once; more wait in the socket's queue.
const ALL: usize = 64;
/// How many of them one user may be; one more is closed at once.
const PER_USER: usize = 32;

type Taken = Rc<RefCell<BTreeMap<u32, usize>>>;

/// The seats of one socket. All callers of a socket are served on one thread.
pub(super) struct Seats {
    all: Arc<Semaphore>,
    taken: Taken,
}

/// One caller's, given back when dropped.
pub(super) struct Seat {
    user: u32,
    taken: Taken,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    pub fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            taken: Taken::default(),
        }
    }

    /// Waits until another caller may be accepted.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// The seat of an accepted caller; none if this user has its share.
    pub fn take(&self, permit: OwnedSemaphorePermit, user: u32) -> Option<Seat> {
        let mut taken = self.taken.borrow_mut();
        let held = taken.entry(user).or_default();
        if *held >= PER_USER {
            return None;
        }
        *held += 1;
        Some(Seat {
            user,
            taken: Rc::clone(&self.taken),
            _permit: permit,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        match taken.get_mut(&self.user) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(taken.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_user_has_half_of_the_seats_and_gives_them_back() {
        let seats = Seats::new();
        let mut held = Vec::new();
        for _ in 0..ALL {
            let permit = seats.wait().await.unwrap();
            held.extend(seats.take(permit, 1000));
        }
        assert_eq!(held.len(), PER_USER);
        let permit = seats.wait().await.unwrap();
        let other = seats.take(permit, 1001).expect("another user has its own");
        held.pop();
        let permit = seats.wait().await.unwrap();
        held.extend(seats.take(permit, 1000));
        assert_eq!(held.len(), PER_USER);
        drop((held, other));
        assert!(seats.taken.borrow().is_empty(), "nobody is remembered");
        assert_eq!(seats.all.available_permits(), ALL);
    }
}
