//! The bytes of blocks that were read lately, as many as the budget holds, found by record: what
//! lookups are answered from.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use birthmark_ledger::Outline;

pub(super) struct Shelf {
    kept: RwLock<Kept>,
    budget: usize,
}

#[derive(Default)]
struct Kept {
    by_leaf: BTreeMap<u64, Entry>,
    /// First records, those longest here first.
    order: VecDeque<u64>,
    bytes: usize,
}

struct Entry {
    outline: Arc<Outline>,
    bytes: usize,
    /// Whether it was asked for since it last came to the front of the order: then it may stay
    /// another round.
    wanted: AtomicBool,
}

impl Shelf {
    /// An empty shelf for about this many bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            kept: RwLock::default(),
            budget,
        }
    }

    pub(super) fn insert(&self, outline: Arc<Outline>) {
        let (first, bytes) = (outline.header().first_index(), outline.memory());
        if outline.header().records == 0 || bytes > self.budget {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            outline,
            bytes,
            wanted: AtomicBool::new(false),
        };
        match kept.by_leaf.insert(first, entry) {
            None => kept.order.push_back(first),
            Some(before) => kept.bytes = kept.bytes.saturating_sub(before.bytes),
        }
        kept.bytes += bytes;
        while kept.bytes > self.budget && kept.make_room() {}
    }

    pub(super) fn with_leaf(&self, leaf: u64) -> Option<Arc<Outline>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let (_, entry) = kept.by_leaf.range(..=leaf).next_back()?;
        if leaf >= entry.outline.header().tree_size {
            return None;
        }
        entry.wanted.store(true, Ordering::Relaxed);
        Some(Arc::clone(&entry.outline))
    }

    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes
    }
}

impl Kept {
    /// Drops the first that nobody asked for since it was last passed over. False when there is
    /// none left.
    fn make_room(&mut self) -> bool {
        let Some(first) = self.order.pop_front() else {
            return false;
        };
        let was_wanted = self
            .by_leaf
            .get(&first)
            .is_some_and(|entry| entry.wanted.swap(false, Ordering::Relaxed));
        if was_wanted {
            self.order.push_back(first);
        } else if let Some(entry) = self.by_leaf.remove(&first) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use birthmark_ledger::{Block, Label, Origin, Record, Source, Transaction, VoteKey};
    use birthmark_ledger::{BlockHeader, BlockTime, Height, ValidatorId};
    use birthmark_protocol::{
        Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, Timestamp,
    };

    use super::*;

    fn record(number: u64) -> Record {
        let claim = ImageClaim {
            digest: Digest::of(&number.to_be_bytes()),
            role: DigestRole::File,
            level: ModificationLevel::RAW,
            parent: None,
        };
        let label = Label::new("maker").unwrap();
        let origin = Origin {
            source: Source::CameraToken,
            authority: label.clone(),
            family: label,
            made_up_fingerprint: false,
        };
        let bundle = Bundle::new(vec![claim], Timestamp::from_unix(0), None).unwrap();
        Record::new(bundle, origin).unwrap()
    }

    /// The block at a height, of ten records.
    fn outline(height: u64) -> Arc<Outline> {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let nothing = Digest::of(b"");
        let records = (height * 10..height * 10 + 10).map(record).collect();
        let transaction = Transaction::sign(&nothing, records, &key).unwrap();
        let header = BlockHeader {
            chain: nothing,
            height: Height::new(height),
            previous: nothing,
            time: BlockTime::from_millis(0),
            proposer: ValidatorId::from_bytes([0; 32]),
            records: 10,
            tree_size: (height + 1) * 10,
            tree_root: nothing,
            transactions_root: nothing,
            validators_hash: nothing,
            next_validators_hash: nothing,
            index_height: Height::GENESIS,
            index_root: nothing,
        };
        let block = Block {
            header,
            transactions: vec![transaction],
            change: None,
        };
        Arc::new(Outline::parse(block.encode()).unwrap())
    }

    #[test]
    fn it_never_holds_more_than_its_budget_and_keeps_what_is_asked_for() {
        let one = outline(0).memory();
        let shelf = Shelf::new(one * 10 + one / 2);
        for height in 0..100 {
            shelf.insert(outline(height));
            assert!(shelf.bytes() <= one * 10 + one / 2);
            assert!(
                shelf.with_leaf(5).is_some(),
                "asked for all the time, gone after {height}"
            );
        }
        assert!(shelf.with_leaf(995).is_some() && shelf.with_leaf(500).is_none());
        assert!(shelf.bytes() > one * 9);
    }

    #[test]
    fn between_the_kept_blocks_nothing_is_found() {
        let shelf = Shelf::new(usize::MAX);
        shelf.insert(outline(1));
        shelf.insert(outline(3));
        let first = |leaf| Some(shelf.with_leaf(leaf)?.header().first_index());
        assert_eq!((first(9), first(10), first(19)), (None, Some(10), Some(10)));
        assert_eq!((first(20), first(30), first(40)), (None, Some(30), None));
    }

    #[test]
    fn the_same_block_again_takes_no_more_room() {
        let shelf = Shelf::new(usize::MAX);
        shelf.insert(outline(1));
        let bytes = shelf.bytes();
        shelf.insert(outline(1));
        assert_eq!(shelf.bytes(), bytes);
    }
}
