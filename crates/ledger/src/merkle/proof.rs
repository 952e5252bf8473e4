//! Proofs as their readers check them.

use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

use super::{MerkleError, empty_root, node_hash};

/// How many hashes a path can have.
pub const MAX_PATH: usize = 64;

/// That a leaf stands in a tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Which leaf, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The hashes beside the way up, the leaf's sibling first.
    pub path: Vec<Digest>,
}

/// That a smaller tree is the beginning of a larger one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// How many leaves the earlier tree has.
    pub old: u64,
    /// How many leaves the later tree has.
    pub new: u64,
    /// The hashes RFC 6962 asks for.
    pub path: Vec<Digest>,
}

impl InclusionProof {
    /// The root the path leads to from the leaf hash `leaf`.
    pub fn root(&self, leaf: &Digest) -> Result<Digest, MerkleError> {
        let Self { index, size, .. } = *self;
        if index >= size {
            return Err(MerkleError::Index { index, size });
        }
        let (inner, border) = shape(index, size);
        check_length(&self.path, inner + border)?;
        let (inside, outside) = self.path.split_at(inner);
        let below = climb(*leaf, inside, index);
        Ok(outside
            .iter()
            .fold(below, |right, left| node_hash(left, &right)))
    }

    /// Succeeds when `leaf` stands at this place under `root`.
    pub fn verify(&self, leaf: &Digest, root: &Digest) -> Result<(), MerkleError> {
        if self.root(leaf)? == *root {
            Ok(())
        } else {
            Err(MerkleError::Root)
        }
    }
}

impl ConsistencyProof {
    /// Succeeds when the tree under `new_root` begins with the one under `old_root`.
    pub fn verify(&self, old_root: &Digest, new_root: &Digest) -> Result<(), MerkleError> {
        let Self { old, new, .. } = *self;
        if old > new {
            return Err(MerkleError::Sizes { old, new });
        }
        if old == 0 || old == new {
            check_length(&self.path, 0)?;
            let same = if old == 0 {
                *old_root == empty_root()
            } else {
                old_root == new_root
            };
            return if same { Ok(()) } else { Err(MerkleError::Root) };
        }
        self.verify_growth(old_root, new_root)
    }

    /// The last complete subtree of the old tree is the start of both ways up. A power of two is
    /// itself that subtree.
    fn verify_growth(&self, old_root: &Digest, new_root: &Digest) -> Result<(), MerkleError> {
        let level = self.old.trailing_zeros() as usize;
        let (inner, border) = shape(self.old - 1, self.new);
        let inner = inner.saturating_sub(level);
        let whole = self.old.is_power_of_two();
        check_length(&self.path, inner + border + usize::from(!whole))?;
        let (seed, path) = match self.path.split_first() {
            Some((seed, path)) if !whole => (*seed, path),
            _ => (*old_root, self.path.as_slice()),
        };
        let (inside, outside) = path.split_at(inner);
        let place = (self.old - 1) >> level;
        let old = outside
            .iter()
            .fold(climb_right(seed, inside, place), |right, left| {
                node_hash(left, &right)
            });
        let new = outside
            .iter()
            .fold(climb(seed, inside, place), |right, left| {
                node_hash(left, &right)
            });
        if old == *old_root && new == *new_root {
            Ok(())
        } else {
            Err(MerkleError::Root)
        }
    }
}

/// How many hashes of a path lie below the point where leaf `index` leaves the right edge, and how
/// many along the edge.
fn shape(index: u64, size: u64) -> (usize, usize) {
    let last = size.saturating_sub(1);
    let inner = (u64::BITS - (index ^ last).leading_zeros()) as usize;
    let border = index.checked_shr(inner as u32).unwrap_or(0).count_ones() as usize;
    (inner, border)
}

/// Upwards inside the tree: the bit of the place says on which side the sibling stands.
fn climb(start: Digest, path: &[Digest], place: u64) -> Digest {
    path.iter()
        .enumerate()
        .fold(start, |hash, (level, sibling)| {
            if place >> level & 1 == 0 {
                node_hash(&hash, sibling)
            } else {
                node_hash(sibling, &hash)
            }
        })
}

/// Upwards in the old tree, which ends here: what stands to the right of it did not exist yet.
fn climb_right(start: Digest, path: &[Digest], place: u64) -> Digest {
    path.iter()
        .enumerate()
        .fold(start, |hash, (level, sibling)| {
            if place >> level & 1 == 0 {
                hash
            } else {
                node_hash(sibling, &hash)
            }
        })
}

fn check_length(path: &[Digest], expected: usize) -> Result<(), MerkleError> {
    let found = path.len();
    if found == expected {
        Ok(())
    } else {
        Err(MerkleError::Length { found, expected })
    }
}
