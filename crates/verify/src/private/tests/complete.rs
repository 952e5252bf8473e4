//! A whole registry, record by record: each is found with a receipt, its neighbours are proven
//! absent, and whoever hides one is caught.
//!
//! `BIRTHMARK_RECORDS` names another size than the small one that every run takes.

use birthmark_ledger::part::PART_RECORDS;

use super::*;

const RECORDS: u64 = 1200;
const RECORDS_PER_BLOCK: u64 = 300;

fn name(record: u64) -> String {
    format!("photo {record}")
}

fn registry(records: u64) -> World {
    let mut world = World::of(&[]);
    for first in (0..records).step_by(RECORDS_PER_BLOCK as usize) {
        let names: Vec<_> = (first..records.min(first + RECORDS_PER_BLOCK))
            .map(name)
            .collect();
        world.commit(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // The index of a header is that after an earlier block: with an empty one on top everything
    // stands in it.
    world.commit(&[]);
    world
}

impl World {
    /// The part of records of a number, with its blocks.
    fn part(&self, number: u64) -> RecordsPart {
        let (first, end) = (number * PART_RECORDS, (number + 1) * PART_RECORDS);
        let holds = |header: &BlockHeader| header.tree_size > first && header.first_index() < end;
        let blocks = self.blocks.iter().zip(&self.before);
        let blocks: Vec<_> = blocks
            .filter(|((block, _), _)| block.header.records > 0 && holds(&block.header))
            .collect();
        let before = blocks[0].1.encode();
        let stored: Vec<_> = blocks
            .iter()
            .map(|((block, by), _)| (block.encode(), by.encode()))
            .collect();
        let bytes = stored.iter().map(|(block, by)| (&block[..], &by[..]));
        RecordsPart::parse(&RecordsPart::write(&before, bytes)).unwrap()
    }
}

/// A digest whose key is the next one, upwards or downwards: the nearest that could stand beside
/// it.
fn neighbour(of: &Digest, is_above: bool) -> Digest {
    let mut bytes = *of.as_bytes();
    let key = IndexKey::of(of).number();
    let key = if is_above {
        key.wrapping_add(1)
    } else {
        key.wrapping_sub(1)
    };
    bytes[..8].copy_from_slice(&key.to_be_bytes());
    Digest::from_bytes(bytes)
}

#[test]
fn every_record_is_proven_its_neighbours_are_absent_and_whoever_hides_one_is_caught() {
    let asked = std::env::var("BIRTHMARK_RECORDS").ok();
    let records = asked.map_or(RECORDS, |asked| asked.parse().unwrap());
    let world = registry(records);
    let standing = world.standing();
    let (header, trusted) = (standing.newest(), Trusted::genesis(&world.genesis));
    assert_eq!(header.tree_size, records);
    let mut ranges = BTreeMap::new();
    for number in 0..records.div_ceil(PART_RECORDS) {
        let part = world.part(number);
        part.check().unwrap();
        for position in number * PART_RECORDS..records.min((number + 1) * PART_RECORDS) {
            let digest = digest(&name(position));
            let question = standing.question(&digest);
            let range = ranges.entry(question).or_insert_with(|| {
                let answer = world.named.prove(question).encode();
                standing.range(question, &answer).unwrap()
            });
            let found = positions(&digest, range, &BTreeMap::new()).unwrap();
            assert_eq!(found, [position].into());
            let chain = world.genesis.chain_id.clone();
            let receipt = part.receipt(chain, position, None, &[]).unwrap();
            let verified = verify_receipt(&receipt, &trusted).unwrap();
            assert!(verified.record.image(&digest).is_some());
            for is_above in [true, false] {
                let beside = neighbour(&digest, is_above);
                if standing.question(&beside) == question {
                    assert!(
                        positions(&beside, range, &BTreeMap::new())
                            .unwrap()
                            .is_empty()
                    );
                }
            }
        }
    }
    // Whichever record is left out, the answer about its range leads to another root.
    for hidden in (0..records).step_by((records / 8).max(1) as usize) {
        let others = (0..records).filter(|position| *position != hidden);
        let mut lie = IndexTree::new();
        lie.insert_all(others.map(|position| (digest(&name(position)), position)));
        let question = standing.question(&digest(&name(hidden)));
        let answer = standing.range(question, &lie.prove(question).encode());
        assert!(
            matches!(answer, Err(LookupError::Range(RangeError::Root))),
            "{hidden}"
        );
    }
    println!("{records} records in {} ranges", ranges.len());
}
