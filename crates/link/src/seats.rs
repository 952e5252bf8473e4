//! Who may be in a handshake: so many strangers in all, and a part of them from one address.
//!
//! Links that exist are not counted. A stranger who begins handshakes and never ends one can keep
//! out whoever shares its address, for as long as a handshake may take, and nobody else.

use std::net::{IpAddr, Ipv6Addr};

use birthmark_daemon::seats::Seats;

/// How many may be in a handshake at once.
const ALL: usize = 128;
/// How many of them from one address, or from one IPv6 /64, which is one customer's. Several
/// validators may stand behind one address, and each dials twice.
const PER_ADDRESS: usize = 32;

/// All seats.
pub(crate) fn handshakes() -> Seats<Ipv6Addr> {
    Seats::new(ALL, PER_ADDRESS)
}

/// The address, or the IPv6 /64 it is in.
pub(crate) fn customer(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
    }
}

#[cfg(test)]
mod tests {
    use birthmark_daemon::seats::Seat;

    use super::*;

    async fn seat(seats: &Seats<Ipv6Addr>, from: &str) -> Option<Seat<Ipv6Addr>> {
        let permit = seats.wait().await.unwrap();
        seats.take(permit, customer(from.parse().unwrap()))
    }

    #[tokio::test]
    async fn one_address_takes_a_part_of_the_seats_and_gives_them_back() {
        let seats = handshakes();
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
    }

    #[tokio::test]
    async fn a_mapped_address_is_the_same_as_the_plain_one() {
        let seats = handshakes();
        let mut held = Vec::new();
        for _ in 0..PER_ADDRESS {
            held.extend(seat(&seats, "192.0.2.1").await);
        }
        assert!(seat(&seats, "::ffff:192.0.2.1").await.is_none());
        assert!(seat(&seats, "192.0.2.2").await.is_some());
    }
}
