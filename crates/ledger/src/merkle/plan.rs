//! Which complete subtrees a proof is made of.

use birthmark_protocol::Digest;

use super::{MerkleError, Node, node_hash, split};

/// The parts of a proof: fetch [`ProofPlan::nodes`] however the store likes, then
/// [`ProofPlan::assemble`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofPlan {
    /// Each hash of the path, as the complete subtrees it folds from, left to right.
    parts: Vec<Vec<Node>>,
}

impl ProofPlan {
    /// The path of leaf `index` in the tree of `size` leaves.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, MerkleError> {
        if index >= size {
            return Err(MerkleError::Index { index, size });
        }
        let mut parts = Vec::new();
        let (mut first, mut end) = (0, size);
        while end - first > 1 {
            let middle = first + split(end - first);
            let (sibling, rest) = if index < middle {
                ((middle, end), (first, middle))
            } else {
                ((first, middle), (middle, end))
            };
            parts.push(cover(sibling.0, sibling.1));
            (first, end) = rest;
        }
        parts.reverse();
        Ok(Self { parts })
    }

    /// That the tree of `old` leaves is the beginning of the tree of `new` leaves.
    pub fn consistency(old: u64, new: u64) -> Result<Self, MerkleError> {
        if old > new {
            return Err(MerkleError::Sizes { old, new });
        }
        let mut parts = Vec::new();
        if old == 0 || old == new {
            return Ok(Self { parts });
        }
        let (mut first, mut end, mut is_whole) = (0, new, true);
        while old != end {
            let middle = first + split(end - first);
            if old <= middle {
                parts.push(cover(middle, end));
                end = middle;
            } else {
                parts.push(cover(first, middle));
                (first, is_whole) = (middle, false);
            }
        }
        if !is_whole {
            parts.push(cover(first, end));
        }
        parts.reverse();
        Ok(Self { parts })
    }

    /// Every complete subtree the proof needs.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.parts.iter().flatten().copied()
    }

    /// The proof's hashes, from what `hash_of` knows of the nodes.
    pub fn assemble(
        &self,
        mut hash_of: impl FnMut(Node) -> Option<Digest>,
    ) -> Result<Vec<Digest>, MerkleError> {
        let mut path = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let mut folded: Option<Digest> = None;
            for node in part.iter().rev() {
                let hash = hash_of(*node).ok_or(MerkleError::Missing(*node))?;
                folded = Some(folded.map_or(hash, |right| node_hash(&hash, &right)));
            }
            path.extend(folded);
        }
        Ok(path)
    }
}

/// The complete subtrees that make up the leaves from `first` to before `end`, as RFC 6962 splits
/// them: `first` is always a multiple of the largest.
fn cover(first: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = first;
    while let Some(bit) = (end - at).checked_ilog2() {
        let level = bit as u8;
        nodes.push(Node {
            level,
            index: at >> level,
        });
        at += 1 << level;
    }
    nodes
}
