//! Connections at once: so many in all, and a share of them for each holder, whoever that is: a
//! user of this machine, or an address.
//!
//! For listeners that wait until there is room before they accept. Who has no share left is sent
//! away; who is within it waits in the socket's queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Taken<K> = Arc<Mutex<BTreeMap<K, usize>>>;

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats<K> {
    all: Arc<Semaphore>,
    share: usize,
    taken: Taken<K>,
}

/// One holder's, given back when dropped.
#[derive(Debug)]
pub struct Seat<K: Ord> {
    holder: K,
    taken: Taken<K>,
    _permit: OwnedSemaphorePermit,
}

impl<K: Ord + Copy> Seats<K> {
    /// So many in all, and so many for each holder.
    pub fn new(all: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            share,
            taken: Arc::default(),
        }
    }

    /// Waits until another connection may be accepted.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// The seat of an accepted connection; none if its holder has its share.
    pub fn take(&self, permit: OwnedSemaphorePermit, holder: K) -> Option<Seat<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let held = taken.entry(holder).or_default();
        if *held >= self.share {
            return None;
        }
        *held += 1;
        Some(Seat {
            holder,
            taken: Arc::clone(&self.taken),
            _permit: permit,
        })
    }
}

impl<K: Ord> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.holder) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(taken.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holder_has_its_share_and_gives_it_back() {
        let seats = Seats::new(64, 32);
        let mut held = Vec::new();
        for _ in 0..64 {
            let permit = seats.wait().await.unwrap();
            held.extend(seats.take(permit, 1000));
        }
        assert_eq!(held.len(), 32);
        let permit = seats.wait().await.unwrap();
        let other = seats.take(permit, 1001).expect("another has its own");
        held.pop();
        for _ in 0..2 {
            let permit = seats.wait().await.unwrap();
            held.extend(seats.take(permit, 1000));
        }
        assert_eq!(held.len(), 32);
        drop((held, other));
        let taken = seats.taken.lock().unwrap();
        assert!(taken.is_empty(), "nobody is remembered");
        assert_eq!(seats.all.available_permits(), 64);
    }
}
