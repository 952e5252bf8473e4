//! Most lookups are misses: they are answered from memory.
//!
//! A Bloom filter over all registered digests, keyed with a secret of this process so that nobody
//! can craft digests that slip through it. Until it has been filled from the blocks everything may
//! be registered, and the store is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use birthmark_protocol::Digest;
use birthmark_protocol::numbers::at_most;
use fastbloom::AtomicBloomFilter;

use crate::store::prefix_of;

/// One false alarm in a thousand misses.
const FALSE_ALARMS: f64 = 0.001;
/// Room for growth before the filter is built anew.
const LEAST_CAPACITY: usize = 1 << 20;

/// What is certainly not registered.
pub struct Filter {
    bits: RwLock<Bits>,
    complete: AtomicBool,
}

struct Bits {
    bloom: AtomicBloomFilter,
    capacity: usize,
    inserted: std::sync::atomic::AtomicUsize,
}

impl Bits {
    fn new(capacity: usize) -> Self {
        let bloom = AtomicBloomFilter::with_false_pos(FALSE_ALARMS).expected_items(capacity);
        Self {
            bloom,
            capacity,
            inserted: std::sync::atomic::AtomicUsize::new(0),
        }
    }
}

impl Filter {
    pub(crate) fn new() -> Self {
        Self {
            bits: RwLock::new(Bits::new(LEAST_CAPACITY)),
            complete: AtomicBool::new(false),
        }
    }

    /// Whether the digest may be registered. `false` is certain.
    pub fn may_contain(&self, digest: &Digest) -> bool {
        if !self.is_complete() {
            return true;
        }
        self.bits
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .bloom
            .contains(&prefix_of(digest))
    }

    /// Remembers a block's digests.
    pub(crate) fn insert_all(&self, images: &[(Digest, u64)]) {
        self.insert_prefixes(images.iter().map(|(digest, _)| prefix_of(digest)));
    }

    fn insert_prefixes(&self, prefixes: impl Iterator<Item = i64>) {
        let bits = self.bits.read().unwrap_or_else(PoisonError::into_inner);
        let new = prefixes.filter(|prefix| !bits.bloom.insert(prefix)).count();
        bits.inserted.fetch_add(new, Ordering::Relaxed);
    }

    /// Whether it knows everything that is registered.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        let bits = self.bits.read().unwrap_or_else(PoisonError::into_inner);
        bits.bloom.num_bits() / 8
    }

    /// Whether it has grown beyond what it was made for.
    pub fn is_crowded(&self) -> bool {
        let bits = self.bits.read().unwrap_or_else(PoisonError::into_inner);
        bits.inserted.load(Ordering::Relaxed) > bits.capacity
    }

    /// Begins anew with room for this many, while requests are served from the store.
    pub(crate) fn begin(&self, registered: u64) {
        self.complete.store(false, Ordering::Release);
        let capacity = at_most::<usize, _>(registered.saturating_mul(2)).max(LEAST_CAPACITY);
        *self.bits.write().unwrap_or_else(PoisonError::into_inner) = Bits::new(capacity);
    }

    /// Says that every stored block's digests are in it.
    pub(crate) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }
}
