//! One record read out of a block's bytes is the record the whole block holds.

use std::sync::LazyLock;

use birthmark_ledger::*;
use proptest::prelude::*;

use crate::world::*;

/// Cameras, edits and older cameras in several transactions, with more origins than fit into a
/// record's first byte.
fn varied(world: &mut World) -> Block {
    world.commit_records(vec![photo("first"), single("older", START)]);
    let many = (0..40).map(|n| {
        let mut record = photo(&format!("photo {n}"));
        if n % 3 == 0 {
            record = single(&format!("single {n}"), START - 1_000_000 * n);
        }
        let origin = Origin {
            family: format!("Model {}", n % 20).parse().unwrap(),
            ..record.origin().clone()
        };
        Record::new(record.bundle().clone(), origin).unwrap()
    });
    let transactions = vec![
        world.transaction(many.collect()),
        world.transaction(vec![photo("alone")]),
        world.transaction(vec![
            edit("edited", 1, "alone file"),
            single("last", i64::MIN),
        ]),
    ];
    world.build(transactions, None)
}

#[test]
fn every_record_reads_as_in_the_whole_block() {
    let mut world = World::new(1);
    let block = varied(&mut world);
    let outline = Outline::parse(block.encode()).unwrap();
    assert_eq!(outline.header(), &block.header);
    let mut digests = Vec::new();
    for (leaf, transaction, record) in block.records() {
        let excerpt = Excerpt {
            record: record.clone(),
            submitter: *transaction.submitter(),
            transaction: transaction.hash(),
        };
        assert_eq!(outline.record(leaf), Ok(Some(excerpt)));
        digests.extend(record.images().iter().map(|image| (image.digest, leaf)));
    }
    assert_eq!(outline.digests().unwrap(), digests);
    let outside = [0, 1, block.header.tree_size, u64::MAX];
    assert!(outside.iter().all(|leaf| outline.record(*leaf) == Ok(None)));
    assert!(outline.memory() > block.encode().len());
}

#[test]
fn an_empty_block_holds_nothing() {
    let block = World::new(1).build(Vec::new(), None);
    let outline = Outline::parse(block.encode()).unwrap();
    assert_eq!(outline.record(0), Ok(None));
    assert_eq!(outline.digests(), Ok(Vec::new()));
}

#[test]
fn bytes_that_end_early_or_go_on_are_refused() {
    let bytes = varied(&mut World::new(1)).encode();
    assert!((0..bytes.len()).all(|end| Outline::parse(bytes[..end].to_vec()).is_err()));
    assert!(Outline::parse([&bytes[..], &[0]].concat()).is_err());
    let mut miscounted = bytes;
    // The number of records ends at byte 117 of the header.
    miscounted[116] ^= 1;
    assert!(Outline::parse(miscounted).is_err());
}

proptest! {
    #[test]
    fn whatever_a_block_reads_from_an_outline_reads_alike(at in 253usize..4000, change in 1u8..=255) {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| varied(&mut World::new(1)).encode());
        let mut bytes = BYTES.clone();
        let at = at % bytes.len();
        bytes[at] ^= change;
        let outline = Outline::parse(bytes.clone());
        if let Ok(block) = Block::parse(&bytes) {
            let records: Vec<_> = block.records().map(|(_, _, record)| record.clone()).collect();
            prop_assume!(records.len() == block.header.records as usize);
            let outline = outline.unwrap();
            for (record, leaf) in records.into_iter().zip(block.header.first_index()..) {
                prop_assert_eq!(outline.record(leaf).unwrap().unwrap().record, record);
            }
        } else if let Ok(outline) = outline {
            // Its contents are read only when asked for, and then refused.
            let first = outline.header().first_index();
            for leaf in first..outline.header().tree_size {
                let _ = outline.record(leaf);
            }
        }
    }
}
