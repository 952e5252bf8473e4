//! Blocks: what may follow a tip and what may not.

use birthmark_ledger::*;
use birthmark_protocol::{Bundle, DigestRole, ModificationLevel, PixelSource, Timestamp};

use crate::world::*;

fn refused(world: &World, block: &Block) -> BlockError {
    world.tip.check(block, &Known::default()).unwrap_err()
}

fn fault(world: &World, transactions: Vec<Transaction>) -> TransactionFault {
    let known = Known::default();
    let mut builder = world.tip.builder(world.now(), &known);
    let mut last = None;
    for transaction in transactions {
        last = builder.add(transaction).err();
    }
    match last {
        Some(NotAdded::Fault(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[test]
fn blocks_follow_each_other_and_the_tree_grows() {
    let mut world = World::new(4);
    world.commit_records(vec![photo("one"), photo("two")]);
    world.commit_records(vec![photo("three")]);
    world.commit(world.build(vec![], None));
    let (last, certificate) = &world.blocks[2];
    assert_eq!(
        (
            last.header.height,
            last.header.records,
            last.header.tree_size
        ),
        (Height::new(3), 0, 3)
    );
    assert_eq!(
        certificate.verify(&last.header, &world.genesis.validators),
        Ok(())
    );
    assert_eq!(
        world.blocks[1]
            .0
            .records()
            .map(|(index, ..)| index)
            .collect::<Vec<_>>(),
        [2]
    );
    let resumed = Tip::resume(
        &world.genesis,
        &last.header,
        world.genesis.validators.clone(),
        world.frontiers[3].clone(),
    );
    assert_eq!(resumed.unwrap(), world.tip);
}

#[test]
fn a_tip_resumed_from_the_wrong_parts_is_refused() {
    let mut world = World::new(1);
    world.commit_records(vec![photo("one")]);
    let header = &world.blocks[0].0.header;
    let set = world.genesis.validators.clone();
    let resume = |set, frontier| Tip::resume(&world.genesis, header, set, frontier);
    let stale = resume(set.clone(), Frontier::new());
    assert_eq!(stale, Err(BlockError::Header("tree root")));
    let stranger = resume(set_of(&members([9])), world.frontiers[1].clone());
    assert_eq!(stranger, Err(BlockError::Header("next validators hash")));
    let rehearsal = Genesis {
        rehearsal: true,
        ..world.genesis.clone()
    };
    let foreign = Tip::resume(&rehearsal, header, set, world.frontiers[1].clone());
    assert_eq!(foreign, Err(BlockError::Header("chain")));
}

fn not_added(world: &World, record: Record) -> NotAdded {
    let known = Known::default();
    let mut builder = world.tip.builder(world.now(), &known);
    builder.add(world.transaction(vec![record])).unwrap_err()
}

#[test]
fn only_a_rehearsal_takes_what_came_from_no_sensor() {
    let world = World::new(1);
    for source in [PixelSource::File, PixelSource::Simulated] {
        let simulated = captured("painted", source, None);
        let fault = TransactionFault::Rehearsal { record: 0 };
        assert!(fault.is_final());
        assert_eq!(not_added(&world, simulated.clone()), NotAdded::Fault(fault));
        let mut rehearsal = World::rehearsal();
        rehearsal.commit_records(vec![simulated]);
    }
}

#[test]
fn a_camera_is_anchored_to_a_block_before_its_own() {
    let mut world = World::new(1);
    world.commit_records(vec![photo("first")]);
    let fault = TransactionFault::Anchor {
        record: 0,
        anchor: Height::new(2),
    };
    let anchored = |anchor| captured("anchored", PixelSource::Sensor, Some(anchor));
    assert_eq!(not_added(&world, anchored(2)), NotAdded::Fault(fault));
    world.commit_records(vec![anchored(1)]);
}

#[test]
fn every_wrong_header_field_is_named() {
    let mut world = World::new(1);
    world.commit_records(vec![photo("one")]);
    let block = world.build(vec![world.transaction(vec![photo("two")])], None);
    let wrong = |change: fn(&mut BlockHeader)| {
        let mut block = block.clone();
        change(&mut block.header);
        refused(&world, &block)
    };
    assert_eq!(
        wrong(|header| header.chain = digest("other")),
        BlockError::Header("chain")
    );
    assert_eq!(
        wrong(|header| header.height = Height::new(3)),
        BlockError::Header("height")
    );
    assert_eq!(
        wrong(|header| header.previous = digest("other")),
        BlockError::Header("previous hash")
    );
    assert_eq!(
        wrong(|header| header.records = 2),
        BlockError::Header("number of records")
    );
    assert_eq!(
        wrong(|header| header.tree_size = 1),
        BlockError::Header("tree size")
    );
    assert_eq!(
        wrong(|header| header.tree_root = digest("other")),
        BlockError::Header("tree root")
    );
    let root = wrong(|header| header.transactions_root = digest("other"));
    assert_eq!(root, BlockError::Header("transactions root"));
    let validators = wrong(|header| header.validators_hash = digest("other"));
    assert_eq!(validators, BlockError::Header("validators hash"));
    let next = wrong(|header| header.next_validators_hash = digest("other"));
    assert_eq!(next, BlockError::Header("next validators hash"));
    let height = wrong(|header| header.index_height = Height::new(2));
    assert_eq!(height, BlockError::Header("index height"));
    let root = wrong(|header| header.index_root = digest("other"));
    assert_eq!(root, BlockError::Header("index root"));
    assert_eq!(
        wrong(|header| header.time = header.time.plus_millis(-100_000)),
        BlockError::Time
    );
    let stranger = wrong(|header| header.proposer = member(9).entry.id());
    assert_eq!(stranger, BlockError::Proposer);
}

#[test]
fn a_clock_that_stands_still_still_makes_later_blocks() {
    let mut world = World::new(1);
    world.commit(world.build(vec![], None));
    let known = Known::default();
    let same_moment = world.tip.builder(world.tip.time(), &known);
    assert_eq!(same_moment.time(), world.tip.time().plus_millis(1));
}

#[test]
fn only_validators_submit_and_only_for_their_registry() {
    let world = World::new(1);
    let records = || vec![photo("one")];
    let stranger = Transaction::sign(world.tip.chain(), records(), &member(9).vote).unwrap();
    assert_eq!(fault(&world, vec![stranger]), TransactionFault::Submitter);
    let elsewhere =
        Transaction::sign(&digest("other registry"), records(), &world.members[0].vote).unwrap();
    assert!(matches!(
        fault(&world, vec![elsewhere]),
        TransactionFault::Signature(_)
    ));
}

#[test]
fn a_signature_verified_before_is_not_verified_again_and_no_other_is_spared() {
    let world = World::new(1);
    let own = &world.members[0].vote;
    let foreign = Transaction::sign(&digest("other registry"), vec![photo("one")], own).unwrap();
    let known = Known {
        verified: [foreign.hash()].into(),
        ..Known::default()
    };
    let mut builder = world.tip.builder(world.now(), &known);
    assert_eq!(builder.add(foreign), Ok(()));
    let other = Transaction::sign(&digest("other registry"), vec![photo("two")], own).unwrap();
    assert!(matches!(
        builder.add(other),
        Err(NotAdded::Fault(TransactionFault::Signature(_)))
    ));
    let stranger =
        Transaction::sign(world.tip.chain(), vec![photo("one")], &member(9).vote).unwrap();
    let known = Known {
        verified: [stranger.hash()].into(),
        ..Known::default()
    };
    let refused = world.tip.builder(world.now(), &known).add(stranger);
    assert_eq!(refused, Err(NotAdded::Fault(TransactionFault::Submitter)));
}

#[test]
fn a_transaction_enters_once() {
    let world = World::new(1);
    let transaction = world.transaction(vec![photo("one")]);
    let twice = vec![transaction.clone(), transaction.clone()];
    assert_eq!(fault(&world, twice), TransactionFault::Repeated);
    let known = Known {
        transactions: [transaction.hash()].into(),
        ..Known::default()
    };
    let again = world.tip.builder(world.now(), &known).add(transaction);
    assert_eq!(again, Err(NotAdded::Fault(TransactionFault::Repeated)));
}

#[test]
fn two_cameras_may_register_the_same_photo() {
    let mut world = World::new(1);
    world.commit_records(vec![single("same", START), single("same", START)]);
    assert_eq!(world.tip.frontier().size(), 2);
}

#[test]
fn a_photo_from_the_future_waits_and_one_from_the_past_does_not() {
    let world = World::new(1);
    let now = world.now().timestamp().unix();
    let future = fault(
        &world,
        vec![world.transaction(vec![single("a", now), single("b", now + 601)])],
    );
    assert_eq!(future, TransactionFault::Future { record: 1 });
    assert!(!future.is_final());
    for time in [i64::MIN, -1, now + 600] {
        world.build(vec![world.transaction(vec![single("a", time)])], None);
    }
    let last = fault(&world, vec![world.transaction(vec![single("a", i64::MAX)])]);
    assert_eq!(last, TransactionFault::Future { record: 0 });
}

#[test]
fn an_edit_needs_a_registered_original_and_never_a_lower_level() {
    let world = World::new(1);
    let unknown = fault(
        &world,
        vec![world.transaction(vec![edit("cropped", 1, "one file")])],
    );
    assert_eq!(unknown, TransactionFault::UnknownOriginal { record: 0 });
    let later = vec![edit("cropped", 1, "one file"), photo("one")];
    assert!(matches!(
        fault(&world, vec![world.transaction(later)]),
        TransactionFault::UnknownOriginal { .. }
    ));
    let earlier = vec![
        photo("one"),
        edit("cropped", 1, "one file"),
        edit("painted", 2, "cropped"),
    ];
    world.build(vec![world.transaction(earlier)], None);
    let falls = vec![
        photo("one"),
        edit("painted", 2, "one file"),
        edit("cropped", 1, "painted"),
    ];
    assert_eq!(
        fault(&world, vec![world.transaction(falls)]),
        TransactionFault::LevelFalls { record: 2 }
    );
}

#[test]
fn an_original_in_an_earlier_block_is_taken_from_the_store() {
    let world = World::new(1);
    let transaction = world.transaction(vec![edit("cropped", 1, "one file")]);
    assert_eq!(
        Lookups::of(std::slice::from_ref(&transaction)).originals,
        [digest("one file")].into()
    );
    let add = |level| {
        let known = Known {
            originals: [(digest("one file"), level)].into(),
            ..Known::default()
        };
        world
            .tip
            .builder(world.now(), &known)
            .add(transaction.clone())
    };
    assert_eq!(add(ModificationLevel::PROCESSED), Ok(()));
    let falls = NotAdded::Fault(TransactionFault::LevelFalls { record: 0 });
    assert_eq!(add(ModificationLevel::MODIFIED), Err(falls));
}

#[test]
fn a_refused_transaction_leaves_no_trace() {
    let world = World::new(1);
    let known = Known::default();
    let mut builder = world.tip.builder(world.now(), &known);
    let now = world.now().timestamp().unix();
    let bad = world.transaction(vec![photo("one"), single("late", now + 1000)]);
    assert!(builder.add(bad).is_err());
    let orphan = builder.add(world.transaction(vec![edit("cropped", 1, "one file")]));
    assert_eq!(
        orphan,
        Err(NotAdded::Fault(TransactionFault::UnknownOriginal {
            record: 0
        }))
    );
    builder.add(world.transaction(vec![photo("two")])).unwrap();
    let block = builder.finish(world.members[0].entry.id(), *world.tip.index(), None);
    assert!(world.tip.check(&block, &known).is_ok());
}

#[test]
fn a_full_block_takes_no_more() {
    let world = World::new(1);
    let batch = |name: &str, count: usize| {
        world.transaction(
            (0..count)
                .map(|n| single(&format!("{name} {n}"), START))
                .collect(),
        )
    };
    let known = Known::default();
    let mut builder = world.tip.builder(world.now(), &known);
    builder.add(batch("a", 999)).unwrap();
    assert_eq!(builder.add(batch("b", 2)), Err(NotAdded::Full));
    builder.add(batch("c", 1)).unwrap();
    let mut block = builder.finish(world.members[0].entry.id(), *world.tip.index(), None);
    assert!(world.tip.check(&block, &known).is_ok());
    block.transactions.push(batch("d", 1));
    let too_much = BlockError::TooMuch {
        what: "records",
        found: 1001,
        most: 1000,
    };
    assert_eq!(refused(&world, &block), too_much);
}

#[test]
fn the_largest_records_there_are_still_make_blocks_that_read() {
    let world = World::new(1);
    let known = Known::default();
    let mut builder = world.tip.builder(world.now(), &known);
    let large = |n: usize| {
        let images = (0..8).map(|k| {
            let parent = (k > 0).then(|| format!("{n} {}", k - 1));
            claim(&format!("{n} {k}"), DigestRole::File, 1, parent.as_deref())
        });
        let bundle = Bundle::new(
            images.collect(),
            Timestamp::from_unix(i64::MIN),
            Some(digest("place")),
        );
        let text = |what: &str| format!("{what}{n:0>250}").parse().unwrap();
        let origin = Origin {
            source: Source::Server,
            authority: text("maker"),
            family: text("model"),
            made_up_fingerprint: false,
        };
        Record::edited(bundle.unwrap(), digest("one file"), origin).unwrap()
    };
    let _ = builder.add(world.transaction(vec![photo("one")]));
    let mut added = 0;
    let batch = |from: usize| world.transaction((from..from + 20).map(large).collect());
    while builder.add(batch(added)).is_ok() {
        added += 20;
    }
    let block = builder.finish(world.members[0].entry.id(), *world.tip.index(), None);
    assert!(added > 900, "{added}");
    assert_eq!(Block::parse(&block.encode()).unwrap(), block);
    assert!(world.tip.check(&block, &known).is_ok());
}

#[test]
fn records_that_contradict_themselves_cannot_be_made() {
    let bundle = |level| {
        let claim = claim("x", DigestRole::File, level, None);
        Bundle::new(vec![claim], Timestamp::from_unix(START), None).unwrap()
    };
    let original = digest("one file");
    let make = |level, original, source| {
        Record::with_original(bundle(level), original, origin(source)).unwrap_err()
    };
    assert_eq!(
        make(1, Some(original), Source::CameraToken),
        RecordError::CameraEdit
    );
    assert_eq!(make(1, None, Source::Software), RecordError::NoOriginal);
    assert_eq!(
        make(0, Some(original), Source::Software),
        RecordError::EditedRaw
    );
    let own = make(1, Some(digest("x")), Source::Server);
    assert_eq!(own, RecordError::OwnOriginal(digest("x")));
}

#[test]
fn provenance_is_read_off_a_record() {
    let record = photo("one");
    assert_eq!(record.parent(&digest("one raw")), None);
    assert_eq!(record.parent(&digest("one file")), Some(digest("one raw")));
    assert_eq!(
        edit("cropped", 1, "one file").parent(&digest("cropped")),
        Some(digest("one file"))
    );
    assert!(record.image(&digest("another")).is_none());
}
