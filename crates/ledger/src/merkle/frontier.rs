//! The right edge of the tree: enough to append for ever and to know the root, at most 64 hashes.

use std::collections::BTreeMap;

use birthmark_protocol::Digest;

use super::{InclusionProof, MerkleError, Node, ProofPlan, node_hash};

/// Far more leaves than there will ever be, and far enough from the end of 64 bits that counting
/// never overflows.
const MAX_SIZE: u64 = 1 << 60;

/// The complete subtrees a tree of some size consists of, largest first.
///
/// ```text
/// u64  number of leaves, big-endian
///      one 32-byte hash for each bit set in it, highest bit first
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds one leaf at the right.
    pub fn append(&mut self, leaf: Digest) {
        self.append_with(leaf, |_, _| {});
    }

    /// Adds one leaf and tells of every subtree this completes, the leaf itself first: what a store
    /// keeps for proofs.
    pub fn append_with(&mut self, leaf: Digest, mut completed: impl FnMut(Node, Digest)) {
        let mut node = Node::leaf(self.size);
        let mut hash = leaf;
        completed(node, hash);
        while node.index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node {
                level: node.level + 1,
                index: node.index >> 1,
            };
            completed(node, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Digest {
        let folded = self
            .peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(super::empty_root)
    }

    /// The complete subtrees with their places, largest first.
    pub fn peaks(&self) -> impl Iterator<Item = (Node, Digest)> + '_ {
        let mut first = 0u64;
        let levels = (0..64u8).rev().filter(|level| self.size >> level & 1 == 1);
        levels.zip(&self.peaks).map(move |(level, hash)| {
            let node = Node {
                level,
                index: first >> level,
            };
            first = node.end();
            (node, *hash)
        })
    }

    /// The bytes to store beside a block.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.size.to_be_bytes().to_vec();
        out.extend(self.peaks.iter().flat_map(|peak| *peak.as_bytes()));
        out
    }

    /// Reads what [`Frontier::encode`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, MerkleError> {
        let (size, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(MerkleError::Frontier("too short"))?;
        let size = u64::from_be_bytes(*size);
        if size > MAX_SIZE {
            return Err(MerkleError::Frontier("no registry is that large"));
        }
        let (hashes, remainder) = rest.as_chunks::<32>();
        if !remainder.is_empty() || hashes.len() != size.count_ones() as usize {
            return Err(MerkleError::Frontier("its length does not fit its size"));
        }
        Ok(Self {
            size,
            peaks: hashes.iter().copied().map(Digest::from_bytes).collect(),
        })
    }
}

/// Proves a leaf of the newest block from what the block and the frontier before it hold: no stored
/// nodes needed.
///
/// `leaves` are the hashes of the block's own leaves, `index` counts from the start of the
/// registry.
pub fn prove_in_block(
    before: &Frontier,
    leaves: &[Digest],
    index: u64,
) -> Result<InclusionProof, MerkleError> {
    let size = before.size.saturating_add(leaves.len() as u64);
    if index < before.size {
        return Err(MerkleError::Index { index, size });
    }
    let plan = ProofPlan::inclusion(index, size)?;
    let peaks: BTreeMap<_, _> = before.peaks().collect();
    let path = plan.assemble(|node| subtree(node, before.size, &peaks, leaves))?;
    Ok(InclusionProof { index, size, path })
}

/// A complete subtree's hash from old peaks and new leaves.
fn subtree(
    node: Node,
    old: u64,
    peaks: &BTreeMap<Node, Digest>,
    leaves: &[Digest],
) -> Option<Digest> {
    if let Some(peak) = peaks.get(&node) {
        return Some(*peak);
    }
    let Some((left, right)) = node.children() else {
        let position = usize::try_from(node.index.checked_sub(old)?).ok()?;
        return leaves.get(position).copied();
    };
    Some(node_hash(
        &subtree(left, old, peaks, leaves)?,
        &subtree(right, old, peaks, leaves)?,
    ))
}
