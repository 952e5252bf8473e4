//! The index in the headers: which heights and roots may stand there, and what is proven from them.

use birthmark_ledger::index::{Prefix, RangeProof};
use birthmark_ledger::*;

use crate::world::*;

/// The next block, with this index in its header.
fn with_index(world: &World, index: &IndexRoot) -> Block {
    let known = Known::default();
    let builder = world.tip.builder(world.now(), &known);
    builder.finish(world.members[0].entry.id(), *index, None)
}

fn judged(world: &World, index: &IndexRoot) -> Result<Tip, BlockError> {
    let known = Known::default();
    world.tip.check(&with_index(world, index), &known)
}

fn at(height: u64, name: &str) -> IndexRoot {
    IndexRoot {
        height: Height::new(height),
        root: digest(name),
    }
}

const HEIGHT: BlockError = BlockError::Header("index height");
const ROOT: BlockError = BlockError::Header("index root");

#[test]
fn the_first_block_has_the_empty_index_before_it() {
    let world = World::new(1);
    assert!(judged(&world, &IndexRoot::genesis()).is_ok());
    assert_eq!(judged(&world, &at(0, "other")), Err(ROOT));
    assert_eq!(judged(&world, &at(1, "its own")), Err(HEIGHT));
}

#[test]
fn an_index_goes_forward_up_to_the_block_before_and_keeps_its_root() {
    let mut world = World::new(1);
    world.commit(world.build(vec![], None));
    world.commit(with_index(&world, &at(1, "one")));
    assert_eq!(world.tip.index(), &at(1, "one"));
    for good in [at(1, "one"), at(2, "two")] {
        assert!(judged(&world, &good).is_ok());
    }
    assert_eq!(judged(&world, &at(1, "another")), Err(ROOT));
    assert_eq!(judged(&world, &IndexRoot::genesis()), Err(HEIGHT));
    assert_eq!(judged(&world, &at(3, "its own")), Err(HEIGHT));
    let last = &world.blocks[1].0.header;
    let set = world.genesis.validators.clone();
    let resumed = Tip::resume(&world.genesis, last, set, world.frontiers[2].clone()).unwrap();
    assert_eq!(resumed.index(), &at(1, "one"));
}

#[test]
fn an_index_that_lags_too_far_behind_holds_the_next_block_up() {
    let mut world = World::new(1);
    for _ in 0..64 {
        world.commit(world.build(vec![], None));
    }
    assert_eq!(judged(&world, &IndexRoot::genesis()), Err(HEIGHT));
    assert!(judged(&world, &at(1, "one")).is_ok());
}

#[test]
fn a_follower_catches_a_root_that_the_blocks_do_not_make() {
    let mut world = World::new(1);
    let mut follower = IndexFollower::genesis();
    for name in ["one", "two", "three"] {
        let transactions = vec![world.transaction(vec![photo(name)])];
        let block = world.build(transactions, None);
        let block = Block {
            header: BlockHeader {
                index_height: follower.newest().height,
                index_root: follower.newest().root,
                ..block.header
            },
            ..block
        };
        follower.follow(&block).unwrap();
        world.commit(block);
    }
    assert_eq!(follower.newest().height, Height::new(3));
    let lie = with_index(&world, &at(3, "a lie"));
    assert_eq!(follower.follow(&lie), Err(ROOT));
    let early = with_index(&world, &at(4, "its own"));
    assert_eq!(follower.follow(&early), Err(HEIGHT));
    assert!(
        follower
            .follow(&with_index(&world, &follower.newest()))
            .is_ok()
    );
}

#[test]
fn presence_and_absence_are_proven_from_the_genesis_on() {
    let mut world = World::new(4);
    world.commit_records(vec![photo("one"), single("two", START)]);
    let mut follower = IndexFollower::genesis();
    follower.follow(&world.blocks[0].0).unwrap();
    let tree = follower.tree().clone();
    world.commit(with_index(&world, &follower.newest()));
    let decided = world.decided(Height::new(2));
    let head = Head {
        format: HeadFormat::V1,
        chain_id: world.genesis.chain_id.clone(),
        header: decided.header.clone(),
        certificate: decided.certificate.clone(),
        sets: vec![],
    };
    let trusted = || Trusted::genesis(&world.genesis);
    assert!(verify_head(&head, trusted()).is_ok());
    let mut undecided = head;
    undecided.header.index_root = digest("a lie");
    assert!(verify_head(&undecided, trusted()).is_err());
    let answer = |name: &str| {
        let prefix = Prefix::hiding(IndexKey::of(&digest(name)), 2, 1000);
        let proof = RangeProof::parse(&tree.prove(prefix).encode()).unwrap();
        let range = proof.verify(prefix, &decided.header.index()).unwrap();
        let found = range.find(&digest(name)).unwrap().cloned();
        (
            range.as_of().get(),
            found.map(|positions| positions.count()),
        )
    };
    assert_eq!(answer("one raw"), (1, Some(1)));
    assert_eq!(answer("two"), (1, Some(1)));
    assert_eq!(answer("three"), (1, None));
}
