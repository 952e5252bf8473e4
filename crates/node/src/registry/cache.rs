//! Blocks that were read whole lately: a bounded number of them, found by height.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::Decided;

/// A full block takes about half a megabyte read.
const BLOCKS: usize = 128;

#[derive(Default)]
pub(super) struct BlockCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_height: BTreeMap<u64, Arc<Decided>>,
    order: VecDeque<u64>,
}

impl BlockCache {
    pub(super) fn insert(&self, decided: Arc<Decided>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let height = decided.block.header.height.get();
        if kept.by_height.insert(height, decided).is_none() {
            kept.order.push_back(height);
        }
        if kept.order.len() > BLOCKS
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_height.remove(&oldest);
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
}
