//! Going along with the blocks: the index after each of them, and whether the headers name the
//! right roots.

use std::collections::VecDeque;

use birthmark_protocol::Digest;
use birthmark_protocol::numbers::at_most;

use super::IndexTree;
use crate::block::Block;
use crate::fault::BlockError;
use crate::header::{BlockHeader, Height, IndexRoot};
use crate::rules::Rules;

/// The index after some block, with the roots that the next headers may name.
#[derive(Clone, Debug)]
pub struct IndexFollower {
    tree: IndexTree,
    /// The last roots, oldest first; never empty.
    roots: VecDeque<IndexRoot>,
}

impl IndexFollower {
    /// Before the first block.
    pub fn genesis() -> Self {
        Self {
            tree: IndexTree::new(),
            roots: [IndexRoot::genesis()].into(),
        }
    }

    /// The index as it is.
    pub const fn tree(&self) -> &IndexTree {
        &self.tree
    }

    /// The root after the last block.
    pub fn newest(&self) -> IndexRoot {
        self.roots
            .back()
            .copied()
            .unwrap_or_else(IndexRoot::genesis)
    }

    /// The root after a block, if it is one that the next header may name.
    pub fn root(&self, height: Height) -> Option<Digest> {
        let found = self.roots.iter().rfind(|index| index.height == height);
        found.map(|index| index.root)
    }

    /// Whether the root that a header names is the one of this index; of the next block's header,
    /// or one before.
    pub fn check(&self, header: &BlockHeader) -> Result<(), BlockError> {
        match self.root(header.index_height) {
            None => Err(BlockError::Header("index height")),
            Some(root) if root != header.index_root => Err(BlockError::Header("index root")),
            Some(_) => Ok(()),
        }
    }

    /// Checks the next block's header and adds its digests.
    pub fn follow(&mut self, block: &Block) -> Result<(), BlockError> {
        self.check(&block.header)?;
        self.add(block.header.height, block.digests());
        Ok(())
    }

    /// Adds what some blocks hold, the last of them at `height`. Roots between them are not known
    /// afterwards.
    pub fn add(&mut self, height: Height, digests: impl IntoIterator<Item = (Digest, u64)>) {
        self.tree.insert_all(digests);
        let root = self.tree.root();
        self.roots.push_back(IndexRoot { height, root });
        let most = at_most(Rules::at(height).max_index_lag);
        while self.roots.len() > most {
            self.roots.pop_front();
        }
    }
}
