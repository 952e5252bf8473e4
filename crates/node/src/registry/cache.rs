//! Blocks that were read lately: a bounded number of them, found by height or by record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::Decided;

/// A full block takes about half a megabyte read.
const BLOCKS: usize = 128;

#[derive(Default)]
pub(super) struct BlockCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_leaf: BTreeMap<u64, Arc<Decided>>,
    by_height: BTreeMap<u64, Arc<Decided>>,
    order: VecDeque<u64>,
}

impl BlockCache {
    pub(super) fn insert(&self, decided: Arc<Decided>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let header = &decided.block.header;
        let height = header.height.get();
        if header.records > 0 {
            kept.by_leaf
                .insert(header.first_index(), Arc::clone(&decided));
        }
        if kept.by_height.insert(height, decided).is_none() {
            kept.order.push_back(height);
        }
        if kept.order.len() > BLOCKS
            && let Some(oldest) = kept.order.pop_front()
            && let Some(dropped) = kept.by_height.remove(&oldest)
        {
            kept.by_leaf.remove(&dropped.block.header.first_index());
        }
    }

    pub(super) fn at_height(&self, height: u64) -> Option<Arc<Decided>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_height
            .get(&height)
            .cloned()
    }

    pub(super) fn with_leaf(&self, leaf: u64) -> Option<Arc<Decided>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, decided) = kept.by_leaf.range(..=leaf).next_back()?;
        (leaf < decided.block.header.tree_size).then(|| Arc::clone(decided))
    }
}
