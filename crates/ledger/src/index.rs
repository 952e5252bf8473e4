//! The index: where every digest of the registry stands, under a root that each header carries. It
//! answers "in all of these records" and "in none" with a proof, for one digest or for a range
//! whose width the asker chooses.
//!
//! A binary tree over **keys**, the first eight bytes of digests, bit by bit from the highest. At
//! most [`MAX_KEYS`] keys under one prefix are one **bucket**; more are a **node** with two halves.
//! So the shape is given by the keys alone, whatever the order in which they came: every validator
//! has the same root, and so has whoever rebuilds it from the blocks.
//!
//! ```text
//! empty   H("birthmark/index/empty/v1")
//! bucket  H("birthmark/index/bucket/v1" ‖ for each key in ascending order: 8 key ‖ positions)
//! node    H("birthmark/index/node/v1" ‖ 32 half of the keys whose next bit is 0 ‖ 32 the other half)
//!
//! positions   varint 2 · position                         of the only record whose digests have this key
//!             varint 2 · count + 1 ‖ then for 2–16 records: varint first position ‖ varint difference less one, each
//!                                    for more: 32 H("birthmark/index/positions/v1" ‖ u64 each position, ascending)
//! ```
//!
//! Eight bytes suffice because the records decide: a key that is absent proves that no record holds
//! such a digest, and a key that is present names every record that could. Whoever makes up a
//! digest with another's first eight bytes adds a record to read, and hides nothing.

use std::sync::LazyLock;

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::header::{Height, IndexRoot};
use crate::varint;

mod follower;
mod prefix;
mod range;
mod tree;

pub use follower::IndexFollower;
pub use prefix::{Prefix, PrefixError};
pub use range::{Entry, Range, RangeError, RangeProof};
pub use tree::IndexTree;

/// How many keys one bucket can have.
pub const MAX_KEYS: usize = 32;
/// How many bits a key has, and so how many levels the tree can have.
pub const KEY_BITS: u8 = 64;
/// How many positions of one key are listed. More are hashed, so that a digest that was registered
/// a million times does not make its neighbours' answers large.
pub const MAX_LISTED: usize = 16;

/// What a digest is found by: its first eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IndexKey(u64);

/// The records under one key: their places in the registry, ascending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Positions {
    /// All of them, at least one and at most [`MAX_LISTED`].
    Listed(Vec<u64>),
    /// More than are listed.
    Hashed {
        /// How many.
        count: u64,
        /// The hash of [`positions_hash`].
        hash: Digest,
    },
}

impl IndexKey {
    /// The key of a digest.
    pub const fn of(digest: &Digest) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Takes the eight bytes as a number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The eight bytes as a number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Its bit at this depth; the highest at 0. None below the last.
    const fn bit(self, depth: u8) -> bool {
        (self.0 << depth) >> (KEY_BITS - 1) == 1
    }
}

impl IndexRoot {
    /// The index before the first block.
    pub fn genesis() -> Self {
        Self {
            height: Height::GENESIS,
            root: empty_hash(),
        }
    }
}

impl Positions {
    /// Those that stand in the registry, ascending, each once.
    fn of(positions: &[u64]) -> Self {
        if positions.len() <= MAX_LISTED {
            Self::Listed(positions.to_vec())
        } else {
            Self::Hashed {
                count: positions.len() as u64,
                hash: positions_hash(positions),
            }
        }
    }

    /// How many records there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Listed(positions) => positions.len() as u64,
            Self::Hashed { count, .. } => *count,
        }
    }

    /// Whether these, in ascending order, are all of the records.
    pub fn are(&self, positions: &[u64]) -> bool {
        positions.is_sorted_by(|one, next| one < next) && *self == Self::of(positions)
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Listed(positions) => match positions.as_slice() {
                [only] => put_only(*only, out),
                positions => {
                    varint::put(out, (positions.len() as u64) << 1 | 1);
                    let mut next = 0;
                    for position in positions {
                        varint::put(out, position - next);
                        next = position + 1;
                    }
                }
            },
            Self::Hashed { count, hash } => {
                varint::put(out, count << 1 | 1);
                out.extend(hash.as_bytes());
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = varint::take(reader, "positions")?;
        if first & 1 == 0 {
            return Ok(Self::Listed(vec![first >> 1]));
        }
        let count = first >> 1;
        if count > MAX_LISTED as u64 {
            let hash = reader.array("hash of positions")?.into();
            return Ok(Self::Hashed { count, hash });
        }
        if count < 2 {
            return Err(DecodeError::Value("number of positions"));
        }
        let (mut positions, mut next) = (Vec::new(), 0u64);
        for _ in 0..count {
            let position = next.checked_add(varint::take(reader, "position")?);
            let position = position.filter(|position| *position < 1 << 63);
            let position = position.ok_or(DecodeError::Value("position"))?;
            positions.push(position);
            next = position + 1;
        }
        Ok(Self::Listed(positions))
    }
}

/// The position of the only record under a key. It has at most 60 bits (`Frontier`): doubling loses
/// nothing.
fn put_only(position: u64, out: &mut Vec<u8>) {
    varint::put(out, position << 1);
}

/// What stands for more positions than are listed.
pub fn positions_hash(positions: &[u64]) -> Digest {
    let bytes: Vec<_> = positions.iter().flat_map(|one| one.to_be_bytes()).collect();
    Digest::tagged("birthmark/index/positions/v1", &[&bytes])
}

/// The hash of a tree without keys.
pub fn empty_hash() -> Digest {
    static HASH: LazyLock<Digest> =
        LazyLock::new(|| Digest::tagged("birthmark/index/empty/v1", &[]));
    *HASH
}

fn bucket_hash(content: &[u8]) -> Digest {
    Digest::tagged("birthmark/index/bucket/v1", &[content])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let halves: [&[u8]; 2] = [left.as_bytes(), right.as_bytes()];
    Digest::tagged("birthmark/index/node/v1", &halves)
}

#[cfg(test)]
mod tests;
