//! Where every registered digest stands, in memory: most questions are answered without the
//! database.
//!
//! An open table of 12 bytes an entry: 56 bits of a hash keyed with a secret of this process, so
//! that nobody can craft digests that meet in it, and the 40-bit index of the record. It is filled
//! from the blocks at the start while requests are answered from the database, and keeps to a
//! budget: a registry too large for it is answered with the [filter] and the database. What it says
//! is where to look; the record itself decides whether it holds the digest.
//!
//! [filter]: crate::filter

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use birthmark_protocol::Digest;

mod shard;

use shard::{ENTRY, Shard};

/// The table is cut into this many, so that growing never copies much at once.
const SHARDS: usize = 256;
/// Records with one digest that are remembered; who wants all of more asks the database.
const MOST_EQUAL: usize = 32;

/// The index in memory.
#[derive(Debug)]
pub struct Index {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
    bytes: AtomicUsize,
    budget: usize,
    /// Whether it was filled to its end. What came after does not take that back: see
    /// [`Index::is_complete`].
    complete: AtomicBool,
    outgrown: AtomicBool,
}

/// What the index knows of a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is certainly not registered.
    Nowhere,
    /// If it is registered, then in some of these records.
    At(Vec<u64>),
    /// Only the database knows.
    Unknown,
}

impl Index {
    /// An empty index of at most this many bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            bytes: AtomicUsize::new(0),
            budget,
            complete: AtomicBool::new(false),
            outgrown: AtomicBool::new(budget == 0),
        }
    }

    fn hash(&self, digest: &Digest) -> (Option<&RwLock<Shard>>, u64) {
        let hash = self.hasher.hash_one(digest.as_bytes());
        (self.shards.get((hash >> 56) as usize), hash & Shard::MASK)
    }

    /// Where to look for a digest.
    pub fn find(&self, digest: &Digest) -> Place {
        if !self.is_complete() {
            return Place::Unknown;
        }
        let (Some(shard), hash) = self.hash(digest) else {
            return Place::Unknown;
        };
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        // Emptied meanwhile?
        if !self.is_complete() {
            return Place::Unknown;
        }
        let mut leaves: Vec<_> = shard.leaves(hash).collect();
        match leaves.len() {
            0 => Place::Nowhere,
            count if count >= MOST_EQUAL => Place::Unknown,
            _ => {
                leaves.sort_unstable();
                Place::At(leaves)
            }
        }
    }

    /// Remembers a block's digests. What is remembered of a block that was not stored after all
    /// does no harm: the records decide.
    pub fn insert_all(&self, digests: &[(Digest, u64)]) {
        for (digest, leaf) in digests {
            if self.is_outgrown() {
                return;
            }
            self.insert(digest, *leaf);
        }
    }

    fn insert(&self, digest: &Digest, leaf: u64) {
        let (Some(shard), hash) = self.hash(digest) else {
            return;
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.is_full() {
            let more = shard.growth();
            let bytes = self.bytes.fetch_add(more * ENTRY, Ordering::AcqRel) + more * ENTRY;
            if bytes > self.budget {
                drop(shard);
                return self.outgrow();
            }
            shard.grow(more);
        }
        if !shard.insert(hash, leaf, MOST_EQUAL) {
            drop(shard);
            self.outgrow();
        }
    }

    /// Gives everything back: from now on the filter and the database answer.
    fn outgrow(&self) {
        self.outgrown.store(true, Ordering::Release);
        for shard in &self.shards {
            *shard.write().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
        self.bytes.store(0, Ordering::Release);
    }

    /// Says that every stored block's digests are in it.
    pub fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Whether it knows everything that is registered.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire) && !self.is_outgrown()
    }

    /// Whether the registry is too large for it.
    pub fn is_outgrown(&self) -> bool {
        self.outgrown.load(Ordering::Acquire)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
