//! The registry in parts: what was cut from them verifies, and nothing in them is believed.

use birthmark_ledger::*;

use crate::world::*;

/// A registry with an empty block between others, anchored records and a change of nothing.
fn world() -> World {
    let mut world = World::new(4);
    world.commit_records(vec![photo("one"), single("two", START)]);
    world.commit(world.build(vec![], None));
    let anchored = captured("three", birthmark_protocol::PixelSource::Sensor, Some(1));
    world.commit_records(vec![anchored, single("four", START)]);
    world
}

fn records(world: &World) -> Vec<u8> {
    let stored = world
        .blocks
        .iter()
        .filter(|(block, _)| block.header.records > 0);
    let stored: Vec<_> = stored
        .map(|(block, certificate)| (block.encode(), certificate.encode()))
        .collect();
    let before = world.frontiers[0].encode();
    RecordsPart::write(
        &before,
        stored.iter().map(|(block, by)| (&block[..], &by[..])),
    )
}

fn headers(world: &World) -> Vec<u8> {
    let stored = world.blocks.iter();
    let stored: Vec<_> = stored
        .map(|(block, certificate)| (block.header.encode(), certificate.encode()))
        .collect();
    HeadersPart::write(stored.iter().map(|(header, by)| (&header[..], &by[..])))
}

#[test]
fn every_receipt_is_cut_from_parts_and_verifies() {
    let world = world();
    let records = RecordsPart::parse(&records(&world)).unwrap();
    let headers = HeadersPart::parse(&headers(&world)).unwrap();
    assert_eq!(records.check(), Ok(()));
    assert_eq!(headers.headers().len(), 3);
    for index in 0..4 {
        let record = records.record(index).unwrap();
        let anchor = needed_anchor(record).map(|height| headers.at(height).unwrap().clone());
        let chain = world.genesis.chain_id.clone();
        let receipt = records.receipt(chain, index, anchor, &[]).unwrap();
        let verified = verify_receipt(&receipt, &Trusted::genesis(&world.genesis)).unwrap();
        assert_eq!((verified.index, &verified.record), (index, record));
    }
    assert!(records.record(4).is_none());
}

#[test]
fn a_part_with_another_record_or_a_missing_block_is_found_out() {
    let mut world = world();
    let (block, _) = &mut world.blocks[0];
    let honest = block.transactions[0].records().to_vec();
    let forged = Transaction::sign(
        &block.header.chain,
        vec![photo("forged"), single("two", START)],
        &world.members[0].vote,
    );
    block.transactions = vec![forged.unwrap()];
    let forged = RecordsPart::parse(&records(&world)).unwrap();
    assert_eq!(forged.check(), Err(PartError::Tree(Height::new(1))));
    // The same records under another signature: the tree is the same, the list of transactions is
    // not.
    let elsewhere = digest("another registry");
    let again = Transaction::sign(&elsewhere, honest, &world.members[0].vote);
    world.blocks[0].0.transactions = vec![again.unwrap()];
    let again = RecordsPart::parse(&records(&world)).unwrap();
    assert_eq!(again.check(), Err(PartError::Tree(Height::new(1))));
    world.blocks.remove(0);
    let missing = RecordsPart::parse(&records(&world));
    assert_eq!(missing, Err(PartError::Gap(Height::new(3))));
    world.blocks.remove(0);
    world.blocks.push(world.blocks[0].clone());
    let twice = HeadersPart::parse(&headers(&world));
    assert_eq!(twice, Err(PartError::Order(Height::new(3))));
}

#[test]
fn parts_that_are_cut_off_or_go_on_are_refused() {
    let world = world();
    let (records, headers) = (records(&world), headers(&world));
    for length in 0..records.len() {
        assert!(RecordsPart::parse(&records[..length]).is_err());
    }
    for length in 0..headers.len() {
        assert!(HeadersPart::parse(&headers[..length]).is_err());
    }
    assert!(RecordsPart::parse(&[&records[..], &[0]].concat()).is_err());
    assert!(HeadersPart::parse(&[&headers[..], &[0]].concat()).is_err());
    assert!(RecordsPart::parse(&[2]).is_err());
}
