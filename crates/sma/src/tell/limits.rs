//! How often one client may ask: a bucket of requests that refills steadily.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use birthmark_http::ClientAddress;

use crate::settings::Limits;

const SHARDS: usize = 16;
/// Clients remembered in one shard. Together: 65,536, about 4 MB.
const CLIENTS: usize = 4096;

/// Who may ask how often.
#[derive(Debug)]
pub struct Allowances {
    /// Requests of clients without a validator's token.
    pub requests: RateLimits<ClientAddress>,
    /// Questions of clients without one.
    pub questions: RateLimits<ClientAddress>,
    /// Questions of validators, by name.
    pub validators: RateLimits<String>,
}

impl Allowances {
    /// As the settings say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            requests: RateLimits::new(limits.requests_per_second, limits.burst),
            questions: RateLimits::new(
                limits.public_questions_per_second,
                limits.public_questions_burst,
            ),
            validators: RateLimits::new(
                limits.validator_questions_per_second,
                limits.validator_questions_burst,
            ),
        }
    }
}

/// The buckets of all clients.
#[derive(Debug)]
pub struct RateLimits<K> {
    rate: f64,
    burst: f64,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, Bucket>>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Hash + Eq> RateLimits<K> {
    /// `rate` requests a second in the long run, `burst` at once. A rate of zero means no limit.
    pub fn new(rate: u32, burst: u32) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            rate: rate.into(),
            burst: burst.into(),
            hasher: RandomState::new(),
            shards,
        }
    }

    /// Takes `cost` requests from a client's bucket, or says how long to wait. What costs more than
    /// a full bucket takes all of it.
    pub fn take(&self, client: K, cost: f64, now: Instant) -> Result<(), Duration> {
        if self.rate == 0.0 {
            return Ok(());
        }
        let cost = cost.min(self.burst);
        let place = self.hasher.hash_one(&client) % SHARDS as u64;
        #[expect(
            clippy::indexing_slicing,
            reason = "a remainder of SHARDS is one of the shards"
        )]
        let mut clients = self.shards[place as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            self.make_room(&mut clients, now);
        }
        let bucket = clients.entry(client).or_insert(Bucket {
            left: self.burst,
            at: now,
        });
        bucket.left = self.refilled(bucket, now);
        bucket.at = now;
        if bucket.left < cost {
            return Err(Duration::from_secs_f64((cost - bucket.left) / self.rate));
        }
        bucket.left -= cost;
        Ok(())
    }

    fn refilled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
        elapsed.mul_add(self.rate, bucket.left).min(self.burst)
    }

    /// Forgets clients whose buckets are full, which changes nothing for them; if all are busy,
    /// forgets all rather than grow.
    fn make_room(&self, clients: &mut HashMap<K, Bucket>, now: Instant) {
        clients.retain(|_, bucket| self.refilled(bucket, now) < self.burst);
        if clients.len() >= CLIENTS {
            clients.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> ClientAddress {
        ClientAddress::of([192, 0, 2, last].into())
    }

    #[test]
    fn a_burst_is_allowed_then_the_rate() {
        let (limits, start) = (RateLimits::new(10, 20), Instant::now());
        for _ in 0..20 {
            assert_eq!(limits.take(client(1), 1.0, start), Ok(()));
        }
        let wait = limits.take(client(1), 1.0, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(limits.take(client(2), 1.0, start), Ok(()));
        assert_eq!(limits.take(client(1), 1.0, start + wait), Ok(()));
    }

    #[test]
    fn memory_stays_bounded_whoever_asks() {
        let (limits, start) = (RateLimits::new(1, 1), Instant::now());
        for number in 0..200_000u32 {
            let address = std::net::Ipv4Addr::from_bits(number);
            let _ = limits.take(ClientAddress::of(address.into()), 1.0, start);
        }
        let remembered: usize = limits
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!(remembered <= SHARDS * CLIENTS, "{remembered}");
    }

    #[test]
    fn what_costs_more_than_a_full_bucket_needs_a_full_one() {
        let (limits, start) = (RateLimits::new(10, 20), Instant::now());
        assert_eq!(limits.take(client(1), 100.0, start), Ok(()));
        let wait = limits.take(client(1), 100.0, start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        assert_eq!(limits.take(client(1), 100.0, start + wait), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = RateLimits::<ClientAddress>::new(0, 0);
        assert!((0..1000).all(|_| limits.take(client(1), 1.0, Instant::now()).is_ok()));
    }
}
