//! A whole registry, record by record: each is found with a receipt, its neighbours are proven
//! absent, and whoever hides one is caught.
//!
//! `BIRTHMARK_RECORDS` names another size than the small one that every run takes, and
//! `BIRTHMARK_LOOKUPS_AT` that of the registry in which lookups are counted.

use std::time::Instant;

use birthmark_ledger::part::{PART_HEADERS, PART_RECORDS};

use super::*;
use crate::{Card, FileDigests};

const RECORDS: u64 = 1200;
const RECORDS_PER_BLOCK: u64 = 600;

fn name(record: u64) -> String {
    format!("photo {record}")
}

fn registry(records: u64, name: impl Fn(u64) -> String) -> World {
    let mut world = World::of(&[]);
    for first in (0..records).step_by(RECORDS_PER_BLOCK as usize) {
        let names: Vec<_> = (first..records.min(first + RECORDS_PER_BLOCK))
            .map(&name)
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
        RecordsPart::parse(&self.records(number)).unwrap()
    }

    /// The same as bytes.
    fn records(&self, number: u64) -> Vec<u8> {
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
        RecordsPart::write(&before, bytes)
    }

    /// The part of headers of a number.
    fn headers(&self, number: u64) -> Vec<u8> {
        let first = (number * PART_HEADERS) as usize;
        let blocks = self.blocks.iter().skip(first).take(PART_HEADERS as usize);
        let stored: Vec<_> = blocks
            .map(|(block, by)| (block.header.encode(), by.encode()))
            .collect();
        HeadersPart::write(stored.iter().map(|(header, by)| (&header[..], &by[..])))
    }

    /// What a validator that says the truth, or a mirror, answers.
    fn file(&self, name: &str) -> Vec<u8> {
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
        if name == Standing::ADDRESS {
            return self.head().to_string().into_bytes();
        }
        if name == NOTICES {
            return self.notices.to_string().into_bytes();
        }
        if let Some(part) = number("api/v1/records/") {
            return self.records(part);
        }
        if let Some(part) = number("api/v1/headers/") {
            return self.headers(part);
        }
        let (_, prefix) = name.rsplit_once('/').unwrap();
        self.named.prove(prefix.parse().unwrap()).encode()
    }

    /// Asks about a photo without naming it: the card, the sizes of the files that came, and how
    /// long it took to check them.
    fn looked_up(&self, name: &str) -> (Card, Vec<(String, usize)>, u128) {
        let file = FileDigests::of_digest(digest(name));
        let mut session = Session::new(Trusted::genesis(&self.genesis), [digest(name)], [3; 32]);
        let (mut files, mut millis) = (Vec::new(), 0);
        loop {
            let begun = Instant::now();
            let wanted = session.wants().unwrap();
            millis += begun.elapsed().as_millis();
            if wanted.is_empty() {
                break;
            }
            for wanted in wanted {
                let answer = self.file(&wanted);
                files.push((wanted.clone(), answer.len()));
                let begun = Instant::now();
                session.take(&wanted, Some(&answer));
                millis += begun.elapsed().as_millis();
            }
        }
        (session.judge(&file, None).card, files, millis)
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
    let world = registry(records, name);
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
    for (asked, is_there) in [
        (name(records / 3), true),
        ("no such photo".to_owned(), false),
    ] {
        let (card, files, millis) = world.looked_up(&asked);
        let bytes: usize = files.iter().map(|(_, size)| size).sum();
        assert_eq!(card.holds(), is_there, "{card:?}");
        let checked = card.checked.unwrap();
        assert!(is_there || checked.starts_with("Proven: not in this registry"));
        println!("{asked}: {bytes} bytes, {millis} ms to check");
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
    // A whole run of them as well: the answer about any one of them.
    let run = records / 2..records / 2 + records / 10;
    let mut lie = IndexTree::new();
    let others = (0..records).filter(|position| !run.contains(position));
    lie.insert_all(others.map(|position| (digest(&name(position)), position)));
    for hidden in run.step_by(7) {
        let question = standing.question(&digest(&name(hidden)));
        let answer = standing.range(question, &lie.prove(question).encode());
        assert!(answer.is_err(), "{hidden}");
    }
    println!("{records} records in {} ranges", ranges.len());
}

/// What a lookup costs in a registry of many records: the table of docs/VERIFYING.md.
#[test]
fn a_lookup_fetches_little_however_large_the_registry() {
    let asked = std::env::var("BIRTHMARK_LOOKUPS_AT").ok();
    let records = asked.map_or(3 * RECORDS, |asked| asked.parse().unwrap());
    let name = |record| name(record) + THREE;
    let world = registry(records, name);
    let cases = [
        ("registered", name(records / 3)),
        ("not", "no such photo".to_owned()),
    ];
    for (what, asked) in cases {
        let (card, files, millis) = world.looked_up(&asked);
        assert_eq!(card.holds(), what == "registered", "{card:?}");
        let of = |kind: &str| {
            let of_kind = files.iter().filter(|(file, _)| file.contains(kind));
            of_kind.map(|(_, size)| *size).collect::<Vec<_>>()
        };
        let (range, parts) = (of("/index/"), of("/records/"));
        let (headers, head) = (of("/headers/"), of("/head"));
        assert_eq!((range.len(), head.len()), (1, 1 + headers.len()));
        assert!(range[0] < 64 << 10, "{} bytes", range[0]);
        assert!(parts.len() <= 1 + DECOYS + 1, "{files:?}");
        let sum = |sizes: &[usize]| sizes.iter().sum::<usize>();
        let all: usize = files.iter().map(|(_, size)| size).sum();
        println!(
            "| {records} | {what} | {} | {} in {} | {} in {} | {all} | {millis} |",
            range[0],
            sum(&headers),
            headers.len(),
            sum(&parts),
            parts.len(),
        );
    }
}
