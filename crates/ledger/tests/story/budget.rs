//! A photo costs a few bytes.

use birthmark_ledger::*;
use birthmark_protocol::{Bundle, DigestRole, PixelSource, Timestamp};

use crate::world::*;

/// A thousand cameras of several makers, taken at any second of the last thirty days.
fn thousand(gps: bool) -> Vec<Record> {
    let record = |n: usize| {
        let time = START - (digest(format!("time {n}")).as_bytes()[0] as i64) * 10_000 - n as i64;
        let claim = claim(&format!("photo {n}"), DigestRole::File, 0, None);
        let gps = gps.then(|| digest(format!("place {n}")));
        let bundle = Bundle::new(vec![claim], Timestamp::from_unix(time), gps).unwrap();
        let origin = Origin {
            source: Source::CameraCertificate,
            authority: format!("MAKER_NUMBER_{}", n % 12).parse().unwrap(),
            family: format!("Model {}", n % 24).parse().unwrap(),
            made_up_fingerprint: false,
        };
        Record::new(bundle, origin).unwrap()
    };
    (0..1000).map(record).collect()
}

fn block_bytes(world: &World, batches: &[Vec<Record>]) -> usize {
    let transactions = batches
        .iter()
        .map(|records| world.transaction(records.clone()))
        .collect();
    world.build(transactions, None).encode().len()
}

#[test]
fn a_full_block_has_at_most_64_bytes_per_one_digest_record() {
    let world = World::new(1);
    let one_batch = block_bytes(&world, &[thousand(false)]);
    let batches: Vec<_> = thousand(false).chunks(50).map(<[_]>::to_vec).collect();
    let many_batches = block_bytes(&world, &batches);
    let with_place = block_bytes(&world, &[thousand(true)]);
    eprintln!(
        "bytes of a block of 1000: {one_batch}; in 20 batches {many_batches}; with places {with_place}"
    );
    assert!(one_batch <= 40_000, "{one_batch}");
    assert!(many_batches <= 64_000, "{many_batches}");
    assert_eq!(with_place, one_batch + 32_000);
}

#[test]
fn an_anchor_costs_one_to_three_bytes_a_photo() {
    let world = World::new(1);
    let with = |anchor: fn(usize) -> Option<u64>| {
        let record = |n: usize| captured(&format!("photo {n}"), PixelSource::Sensor, anchor(n));
        let transaction = world.transaction((0..1000).map(record).collect());
        transaction.encode().len()
    };
    let none = with(|_| None);
    // All in step with the network, and all somewhere in the last two weeks of blocks every two
    // seconds.
    let fresh = with(|n| Some(20_000_000 - n as u64 % 5));
    let spread = with(|n| Some(20_000_000 - (n as u64 * 7919) % 600_000));
    eprintln!("bytes of 1000: no anchor {none}; fresh anchors {fresh}; spread anchors {spread}");
    assert!(fresh <= none + 1_010, "{fresh} {none}");
    assert!(spread <= none + 3_010, "{spread} {none}");
}
