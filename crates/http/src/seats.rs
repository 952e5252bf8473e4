//! Places that somebody holds for long, such as streams of events: so many in all, and a few for
//! each client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::{ClientAddress, Holder};

/// The seats of one place.
#[derive(Debug, Clone)]
pub struct Seats {
    all: usize,
    per_client: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_holder: HashMap<Holder, usize>,
}

/// A taken seat, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    client: ClientAddress,
    taken: Arc<Mutex<Taken>>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSeat {
    /// The client holds its share.
    Client,
    /// All are taken.
    All,
}

impl Seats {
    /// So many seats in all and for one client.
    pub fn new(all: usize, per_client: usize) -> Self {
        Self {
            all,
            per_client,
            taken: Arc::default(),
        }
    }

    /// Takes a seat.
    pub fn take(&self, client: ClientAddress) -> Result<Seat, NoSeat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all {
            return Err(NoSeat::All);
        }
        let has_room = |(holder, shares): (Holder, usize)| {
            let held = taken.by_holder.get(&holder).map_or(0, |held| *held);
            held < self.per_client.saturating_mul(shares)
        };
        if !client.holders().all(has_room) {
            return Err(NoSeat::Client);
        }
        taken.all += 1;
        for (holder, _) in client.holders() {
            *taken.by_holder.entry(holder).or_default() += 1;
        }
        Ok(Seat {
            client,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        for (holder, _) in self.client.holders() {
            match taken.by_holder.get_mut(&holder) {
                Some(held) if *held > 1 => *held -= 1,
                _ => drop(taken.by_holder.remove(&holder)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientAddress {
        ClientAddress::of(text.parse().unwrap())
    }

    #[test]
    fn one_client_has_at_most_eight_seats() {
        let seats = Seats::new(1000, 8);
        let held: Vec<_> = (0..100)
            .flat_map(|_| seats.take(client("192.0.2.1")))
            .collect();
        assert_eq!(held.len(), 8);
        assert_eq!(seats.take(client("192.0.2.1")).unwrap_err(), NoSeat::Client);
        assert!(seats.take(client("192.0.2.2")).is_ok());
        drop(held);
        assert!(seats.take(client("192.0.2.1")).is_ok());
        assert!(
            seats.taken.lock().unwrap().by_holder.is_empty(),
            "nobody is remembered"
        );
    }

    #[test]
    fn a_48_has_four_times_as_many_and_all_together_what_there_are() {
        let seats = Seats::new(40, 8);
        let taken =
            (0..1000).flat_map(|subnet| seats.take(client(&format!("2001:db8:7:{subnet:x}::1"))));
        let held: Vec<_> = taken.collect();
        assert_eq!(held.len(), 32);
        let more: Vec<_> = (0..100)
            .flat_map(|last| seats.take(client(&format!("192.0.2.{last}"))))
            .collect();
        assert_eq!(more.len(), 8);
        assert_eq!(seats.take(client("203.0.113.1")).unwrap_err(), NoSeat::All);
    }
}
