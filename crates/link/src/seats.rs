//! Who may be in a handshake: so many strangers in all, and a part of them from one address.
//!
//! Links that exist are not counted. A stranger who begins handshakes and never ends one can keep
//! out whoever shares its address, for as long as a handshake may take, and nobody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may be in a handshake at once.
const ALL: usize = 128;
/// How many of them from one address, or from one IPv6 /64, which is one customer's. Several
/// validators may stand behind one address, and each dials twice.
const PER_ADDRESS: usize = 32;

type Taken = Arc<Mutex<BTreeMap<Ipv6Addr, usize>>>;

/// All seats.
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    taken: Taken,
}

/// One handshake's, given back when dropped.
pub(crate) struct Seat {
    address: Ipv6Addr,
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

    /// Waits until another connection may be accepted.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// The seat of a connection from there; none if too many from there are in a handshake.
    pub fn take(&self, permit: OwnedSemaphorePermit, from: IpAddr) -> Option<Seat> {
        let address = customer(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let held = taken.entry(address).or_default();
        if *held >= PER_ADDRESS {
            return None;
        }
        *held += 1;
        Some(Seat {
            address,
            taken: Arc::clone(&self.taken),
            _permit: permit,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(taken.remove(&self.address)),
        }
    }
}

/// The address, or the IPv6 /64 it is in.
fn customer(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seat(seats: &Seats, from: &str) -> Option<Seat> {
        let permit = seats.wait().await.unwrap();
        seats.take(permit, from.parse().unwrap())
    }

    #[tokio::test]
    async fn one_address_takes_a_part_of_the_seats_and_gives_them_back() {
        let seats = Seats::new();
        let mut held = Vec::new();
        for place in 0..2 * PER_ADDRESS {
            // One customer, from many addresses of its own.
            held.extend(seat(&seats, &format!("2001:db8::{place:x}")).await);
        }
        assert_eq!(held.len(), PER_ADDRESS);
        for other in ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.2"] {
            assert!(seat(&seats, other).await.is_some(), "{other}");
        }
        held.pop();
        assert!(seat(&seats, "2001:db8::1").await.is_some());
        drop(held);
        assert!(
            seats.taken.lock().unwrap().is_empty(),
            "nobody is remembered"
        );
        assert_eq!(seats.all.available_permits(), ALL);
    }

    #[tokio::test]
    async fn a_mapped_address_is_the_same_as_the_plain_one() {
        let seats = Seats::new();
        let mut held = Vec::new();
        for _ in 0..PER_ADDRESS {
            held.extend(seat(&seats, "192.0.2.1").await);
        }
        assert!(seat(&seats, "::ffff:192.0.2.1").await.is_none());
        assert!(seat(&seats, "192.0.2.2").await.is_some());
    }
}
