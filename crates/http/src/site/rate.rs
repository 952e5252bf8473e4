//! How often one client may ask: a bucket of requests that refills steadily (GCRA, by `governor`).
//!
//! A client is an IPv4 address or an IPv6 /64. Because a /48 gives its holder 65,536 of those, each
//! /48 has a bucket of its own, a few times as large. Memory is bounded: when there are too many
//! clients to remember each, those that come new share the bucket of their part of the internet,
//! and whoever is remembered stays so until its bucket is full again.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::client::{ClientAddress, SHARES_OF_A_NETWORK};

const SHARES: u32 = SHARES_OF_A_NETWORK as u32;
/// Locks, so that requests of different clients seldom wait for each other.
const SHARDS: usize = 64;
/// Clients remembered behind one lock. Together 262,144, which takes about 12 MB.
const CLIENTS: usize = 4096;
/// Buckets behind one lock that clients share who are too many to remember.
const SHARED: usize = 64;
const SWEEP_EVERY: Nanos = Nanos::new(1_000_000_000);

/// The buckets of all clients.
pub struct RateLimit<C: Clock = MonotonicClock>(Option<Levels<C>>);

impl<C: Clock> std::fmt::Debug for RateLimit<C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let burst = self.0.as_ref().map(|levels| levels.client.burst);
        out.debug_struct("RateLimit")
            .field("burst", &burst)
            .finish_non_exhaustive()
    }
}

struct Levels<C: Clock> {
    client: Level<C>,
    network: Level<C>,
}

struct Level<C: Clock> {
    burst: NonZeroU32,
    limiter: RateLimiter<u128, Buckets, C, NoOpMiddleware<C::Instant>>,
    buckets: Buckets,
    start: C::Instant,
    /// When full buckets were last forgotten.
    swept: AtomicU64,
}

impl RateLimit {
    /// So many requests a minute, all of them at once if need be; 0 is no limit.
    pub fn per_minute(requests: u32) -> Self {
        Self::build(
            NonZeroU32::new(requests).map(Quota::per_minute),
            &MonotonicClock,
        )
    }

    /// `rate` requests a second in the long run, `burst` at once; a rate or burst of 0 is no limit.
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self::build(quota(rate, burst), &MonotonicClock)
    }
}

/// The buckets of whatever is no client, such as cameras: one for each key. Keys of 16 bytes that
/// are spread evenly, such as the beginning of a digest, do not meet.
pub struct KeyedLimit<C: Clock = MonotonicClock>(Option<Level<C>>);

impl KeyedLimit {
    /// So many an hour, all of them at once if need be; 0 is no limit.
    pub fn per_hour(amount: u32) -> Self {
        let quota = NonZeroU32::new(amount).map(Quota::per_hour);
        Self(quota.map(|quota| Level::new(quota, MonotonicClock)))
    }

    /// Takes one from this key's bucket, or says how long to wait.
    pub fn take(&self, key: u128) -> Result<(), Duration> {
        let taken = |level: &Level<MonotonicClock>| level.take(key, NonZeroU32::MIN);
        self.0.as_ref().map_or(Ok(()), taken)
    }
}

impl<C: Clock> std::fmt::Debug for KeyedLimit<C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let burst = self.0.as_ref().map(|level| level.burst);
        out.debug_struct("KeyedLimit")
            .field("burst", &burst)
            .finish_non_exhaustive()
    }
}

fn quota(rate: u32, burst: u32) -> Option<Quota> {
    Some(Quota::per_second(NonZeroU32::new(rate)?).allow_burst(NonZeroU32::new(burst)?))
}

impl<C: Clock + Clone> RateLimit<C> {
    fn build(quota: Option<Quota>, clock: &C) -> Self {
        Self(quota.map(|quota| Levels {
            client: Level::new(quota, clock.clone()),
            network: Level::new(widened(quota), clock.clone()),
        }))
    }

    /// Takes `cost` requests from a client's bucket, or says how long to wait. What costs more than
    /// a full bucket takes all of it.
    pub fn take(&self, client: ClientAddress, cost: u32) -> Result<(), Duration> {
        let (Some(levels), Some(cost)) = (&self.0, NonZeroU32::new(cost)) else {
            return Ok(());
        };
        // The client first: what is refused to one takes nothing from its neighbours.
        levels.client.take(client.bits(), cost)?;
        match client.network() {
            Some(network) => levels.network.take(network, cost),
            None => Ok(()),
        }
    }
}

/// The same refill and burst for a whole network.
fn widened(quota: Quota) -> Quota {
    let widen = NonZeroU32::MIN.saturating_add(SHARES - 1);
    let burst = quota.burst_size().saturating_mul(widen);
    // One request comes back in a quarter of the time.
    let interval = quota.replenish_interval() / SHARES;
    Quota::with_period(interval).map_or(quota, |quota| quota.allow_burst(burst))
}

impl<C: Clock> Level<C> {
    fn new(quota: Quota, clock: C) -> Self {
        let buckets = Buckets::new();
        Self {
            burst: quota.burst_size(),
            start: clock.now(),
            limiter: RateLimiter::new(quota, buckets.clone(), clock),
            buckets,
            swept: AtomicU64::new(0),
        }
    }

    fn take(&self, key: u128, cost: NonZeroU32) -> Result<(), Duration> {
        let taken = self.limiter.check_key_n(&key, cost.min(self.burst));
        self.make_room();
        match taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(self.limiter.clock().now())),
            // It asked for more than the largest burst, which was just ruled out.
            Err(_) => Ok(()),
        }
    }

    /// Forgets clients whose buckets are full again, which changes nothing for them. A look at all
    /// of them takes milliseconds, so a flood of new clients must not cause one each.
    fn make_room(&self) {
        if !self.buckets.0.is_crowded.load(Ordering::Relaxed) {
            return;
        }
        let now = self
            .limiter
            .clock()
            .now()
            .duration_since(self.start)
            .as_u64();
        let last = self.swept.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= SWEEP_EVERY.as_u64();
        // Of several who notice it, one looks.
        let swap = |now| {
            self.swept
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && swap(now.max(1)).is_ok() {
            self.buckets.0.is_crowded.store(false, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
    }
}

/// When each client's bucket will be full again.
#[derive(Clone)]
struct Buckets(Arc<Store>);

struct Store {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    /// Somebody found no room since the last look.
    is_crowded: AtomicBool,
}

#[derive(Default)]
struct Shard {
    clients: HashMap<u128, Nanos>,
    /// Of those who found no room, by their part of the internet.
    shared: HashMap<u64, Nanos>,
}

impl Buckets {
    fn new() -> Self {
        Self(Arc::new(Store {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            is_crowded: AtomicBool::new(false),
        }))
    }
}

impl Store {
    /// The shard of a key, and which of its shared buckets the key would use.
    fn shard(&self, key: u128) -> Option<(MutexGuard<'_, Shard>, u64)> {
        let place = self.hasher.hash_one(ClientAddress::neighbourhood(key));
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).ok()?;
        let shard = self.shards.get(shard)?;
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        Some((shard, place % SHARED as u64))
    }
}

impl StateStore for Buckets {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some((mut shard, place)) = self.0.shard(*key) else {
            return measure(None).map(|(taken, _)| taken);
        };
        let Shard { clients, shared } = &mut *shard;
        if let Some(bucket) = clients.get_mut(key) {
            let (taken, full_at) = measure(Some(*bucket))?;
            *bucket = full_at;
            return Ok(taken);
        }
        if clients.len() < CLIENTS {
            let (taken, full_at) = measure(None)?;
            clients.insert(*key, full_at);
            return Ok(taken);
        }
        self.0.is_crowded.store(true, Ordering::Relaxed);
        let (taken, full_at) = measure(shared.get(&place).copied())?;
        shared.insert(place, full_at);
        Ok(taken)
    }
}

impl ShrinkableKeyedStateStore<u128> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.0.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.clients.retain(|_, full_at| *full_at > drop_below);
            shard.shared.retain(|_, full_at| *full_at > drop_below);
        }
    }

    fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        let counts = shards.map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.clients.len() + shard.shared.len()
        });
        counts.sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn client(last: u8) -> ClientAddress {
        ClientAddress::of([192, 0, 2, last].into())
    }

    fn per_second(rate: u32, burst: u32) -> (RateLimit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (RateLimit::build(quota(rate, burst), &clock), clock)
    }

    #[test]
    fn a_burst_is_allowed_then_the_rate() {
        let (limit, clock) = per_second(10, 20);
        assert!((0..20).all(|_| limit.take(client(1), 1).is_ok()));
        let wait = limit.take(client(1), 1).unwrap_err();
        assert!(wait <= Duration::from_millis(100) && wait > Duration::from_millis(90));
        assert_eq!(limit.take(client(2), 1), Ok(()));
        clock.advance(wait);
        assert_eq!(limit.take(client(1), 1), Ok(()));
        assert!(limit.take(client(1), 1).is_err());
    }

    #[test]
    fn a_minutes_worth_may_come_at_once() {
        let clock = FakeRelativeClock::default();
        let quota = NonZeroU32::new(60).map(Quota::per_minute);
        let limit = RateLimit::build(quota, &clock);
        assert!((0..60).all(|_| limit.take(client(1), 1).is_ok()));
        assert!(limit.take(client(1), 1).unwrap_err() <= Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limit.take(client(1), 1), Ok(()));
    }

    #[test]
    fn what_costs_more_than_a_full_bucket_needs_a_full_one() {
        let (limit, clock) = per_second(10, 20);
        assert_eq!(limit.take(client(1), 100), Ok(()));
        let wait = limit.take(client(1), 100).unwrap_err();
        clock.advance(wait);
        assert_eq!(limit.take(client(1), 100), Ok(()));
        assert_eq!(limit.take(client(1), 0), Ok(()), "nothing costs nothing");
    }

    #[test]
    fn zero_is_no_limit() {
        for limit in [RateLimit::per_minute(0), RateLimit::per_second(0, 9)] {
            assert!((0..1000).all(|_| limit.take(client(1), 1).is_ok()));
        }
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let limit = KeyedLimit::per_hour(3);
        assert!((0..3).all(|_| limit.take(1).is_ok()));
        let wait = limit.take(1).unwrap_err();
        assert!(wait > Duration::from_secs(1100) && wait <= Duration::from_secs(1200));
        assert_eq!(limit.take(2), Ok(()));
        assert!((0..1000).all(|_| KeyedLimit::per_hour(0).take(1).is_ok()));
    }

    #[test]
    fn a_48_is_limited_as_a_whole_and_its_64s_each() {
        let (limit, _) = per_second(1, 10);
        let from = |subnet: u16, host: u16| {
            ClientAddress::of(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, host).into())
        };
        assert!((0..10).all(|host| limit.take(from(0, host), 1).is_ok()));
        assert!(limit.take(from(0, 99), 1).is_err(), "one /64 is one client");
        let taken = (1..1000).filter(|subnet| limit.take(from(*subnet, 1), 1).is_ok());
        assert_eq!(
            taken.count(),
            30,
            "together with the first, four times as much as one"
        );
        let next_door = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 1);
        assert_eq!(limit.take(ClientAddress::of(next_door.into()), 1), Ok(()));
    }

    #[test]
    fn what_is_refused_to_one_takes_nothing_from_its_neighbours() {
        let (limit, _) = per_second(1, 10);
        let from =
            |subnet| ClientAddress::of(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, 1).into());
        let taken = (0..1000).filter(|_| limit.take(from(1), 1).is_ok()).count();
        assert_eq!(taken, 10);
        assert!((0..10).all(|_| limit.take(from(2), 1).is_ok()));
    }

    #[test]
    fn a_limit_survives_more_clients_than_can_be_remembered() {
        let (limit, clock) = per_second(1, 5);
        assert!((0..5).all(|_| limit.take(client(1), 1).is_ok()));
        assert!(limit.take(client(1), 1).is_err());
        // More addresses than can be remembered, each of which asks once.
        let mut taken = 0;
        for number in 0..400_000_u32 {
            let address = Ipv4Addr::from_bits(0x0A00_0000 + number);
            taken += u32::from(limit.take(ClientAddress::of(address.into()), 1).is_ok());
        }
        assert!(
            limit.take(client(1), 1).is_err(),
            "nobody made us forget it"
        );
        let most = SHARDS * (CLIENTS + SHARED);
        let buckets = &limit.0.as_ref().unwrap().client.buckets;
        assert!(buckets.len() <= most, "{} buckets", buckets.len());
        assert!(taken as usize <= SHARDS * (CLIENTS + 5 * SHARED), "{taken}");
        // A minute later everybody is as good as new, and forgotten as soon as room is needed.
        clock.advance(Duration::from_secs(60));
        assert_eq!(
            limit.take(ClientAddress::of([203, 0, 113, 1].into()), 1),
            Ok(())
        );
        assert_eq!(
            limit.take(ClientAddress::of([203, 0, 113, 2].into()), 1),
            Ok(())
        );
        assert!(buckets.len() < 10, "{} buckets", buckets.len());
    }
}
