//! The registry's one append-only Merkle tree, hashed as RFC 6962 hashes it.
//!
//! A leaf is `SHA-256(0x00 ‖ record)`, a node `SHA-256(0x01 ‖ left ‖ right)`. [`Frontier`] is all
//! one needs to append; [`ProofPlan`] says which stored nodes a proof is made of, so that any store
//! can fetch them in one question.

use birthmark_protocol::Digest;
use sha2::{Digest as _, Sha256};

mod frontier;
mod plan;
mod proof;

pub use frontier::{Frontier, prove_in_block};
pub use plan::ProofPlan;
pub use proof::{ConsistencyProof, InclusionProof, MAX_PATH};

/// A complete subtree: it covers the leaves from `index · 2^level` on, `2^level` of them. Level 0
/// is a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Node {
    /// How many levels lie below it.
    pub level: u8,
    /// Which one of its level, from 0.
    pub index: u64,
}

/// Why a proof does not hold, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// There is no such leaf.
    #[error("leaf {index} is not in a tree of {size}")]
    Index {
        /// The leaf asked for.
        index: u64,
        /// The leaves there are.
        size: u64,
    },
    /// A tree only grows.
    #[error("a tree of {old} leaves is no earlier state of one of {new}")]
    Sizes {
        /// The smaller tree.
        old: u64,
        /// The larger tree.
        new: u64,
    },
    /// The path has another length than the tree's shape asks for.
    #[error("the path has {found} hashes; this tree asks for {expected}")]
    Length {
        /// What the path has.
        found: usize,
        /// What it should have.
        expected: usize,
    },
    /// The path leads to another root.
    #[error("the path leads to another root")]
    Root,
    /// A node the proof needs is missing.
    #[error("node {} of level {} is missing", .0.index, .0.level)]
    Missing(Node),
    /// The bytes are no frontier.
    #[error("not a frontier: {0}")]
    Frontier(&'static str),
}

impl Node {
    /// The leaf at `index`.
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// The first leaf below it.
    pub const fn first(self) -> u64 {
        self.index << self.level
    }

    /// The first leaf after it.
    pub const fn end(self) -> u64 {
        (self.index + 1) << self.level
    }

    /// Its two halves, if it is not a leaf.
    pub const fn children(self) -> Option<(Self, Self)> {
        let Some(level) = self.level.checked_sub(1) else {
            return None;
        };
        let left = self.index << 1;
        Some((
            Self { level, index: left },
            Self {
                level,
                index: left + 1,
            },
        ))
    }
}

/// The hash of a leaf with these bytes.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    hash(&[&[0], bytes])
}

/// The hash of a node over its two halves.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    hash(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of a tree without leaves.
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// The root over these leaf hashes.
pub fn root(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut frontier = Frontier::new();
    leaves.into_iter().for_each(|leaf| frontier.append(leaf));
    frontier.root()
}

fn hash(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest::from_bytes(hasher.finalize().into())
}

/// The largest power of two below `size`: where RFC 6962 splits a tree of `size` leaves, `size` at
/// least 2.
fn split(size: u64) -> u64 {
    size.checked_sub(1)
        .and_then(u64::checked_ilog2)
        .map_or(0, |bit| 1 << bit)
}

#[cfg(test)]
mod tests;
