//! One part of the index: an open table that is searched from a hash's own place onwards.

/// How many bytes an entry takes.
pub(super) const ENTRY: usize = size_of::<Entry>();

const LEAST: usize = 64;
/// A record's index has 40 bits here: a million million records.
const LARGEST_LEAF: u64 = (1 << 40) - 2;

/// 56 bits of hash and 40 of the record's index plus one, in three words. All zero is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Entry([u32; 3]);

#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: Vec<Entry>,
    used: usize,
}

impl Entry {
    const fn new(hash: u64, leaf: u64) -> Self {
        let place = leaf + 1;
        Self([
            hash as u32,
            ((hash >> 32) as u32 & 0xff_ffff) | ((place >> 32) as u32) << 24,
            place as u32,
        ])
    }

    const fn hash(self) -> u64 {
        let [low, mixed, _] = self.0;
        low as u64 | (mixed as u64 & 0xff_ffff) << 32
    }

    const fn leaf(self) -> Option<u64> {
        let [_, mixed, low] = self.0;
        (low as u64 | (mixed as u64 >> 24) << 32).checked_sub(1)
    }
}

impl Shard {
    /// The bits of a hash that an entry holds.
    pub(super) const MASK: u64 = (1 << 56) - 1;

    /// Where a hash is searched first: its upper bits, stretched over the table.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.entries.len() as u128) >> 56) as usize
    }

    /// From a hash's own place once around.
    fn probe(&self, hash: u64) -> impl Iterator<Item = (usize, Entry)> + '_ {
        let (before, after) = self
            .entries
            .split_at(self.home(hash).min(self.entries.len()));
        let numbered = (before.len()..).zip(after).chain((0..).zip(before));
        numbered.map(|(at, entry)| (at, *entry))
    }

    /// The records remembered under a hash.
    pub(super) fn leaves(&self, hash: u64) -> impl Iterator<Item = u64> + '_ {
        self.probe(hash)
            .map_while(|(_, entry)| Some((entry.hash(), entry.leaf()?)))
            .filter(move |(found, _)| *found == hash)
            .map(|(_, leaf)| leaf)
    }

    /// Whether one more would crowd it.
    pub(super) const fn is_full(&self) -> bool {
        (self.used + 1) * 8 > self.entries.len() * 7
    }

    /// By how many entries it grows next: a quarter.
    pub(super) fn growth(&self) -> usize {
        (self.entries.len() / 4).max(LEAST)
    }

    pub(super) fn grow(&mut self, more: usize) {
        let larger = vec![Entry::default(); self.entries.len() + more];
        let entries = std::mem::replace(&mut self.entries, larger);
        self.used = 0;
        for entry in entries {
            if let Some(leaf) = entry.leaf() {
                self.insert(entry.hash(), leaf, usize::MAX);
            }
        }
    }

    /// Remembers a record, unless `most` are remembered under this hash. False when its index is
    /// too large to be held.
    pub(super) fn insert(&mut self, hash: u64, leaf: u64, most: usize) -> bool {
        if leaf > LARGEST_LEAF {
            return false;
        }
        let mut equal = 0;
        let mut free = None;
        for (at, entry) in self.probe(hash) {
            let Some(other) = entry.leaf() else {
                free = Some(at);
                break;
            };
            if entry.hash() == hash {
                equal += 1;
                if other == leaf || equal >= most {
                    return true;
                }
            }
        }
        let Some(slot) = free.and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        *slot = Entry::new(hash, leaf);
        self.used += 1;
        true
    }
}
