use birthmark_ledger::{Block, IndexFollower};

use super::*;
use crate::private::Parts;
use crate::private::tests::World;

fn world() -> World {
    World::of(&[&["one", "two"], &[], &["three"], &[], &[]])
}

fn audited(world: &World, parts: &Parts) -> Result<IndexFollower, AuditError> {
    let head = serde_json::from_value(world.head()).unwrap();
    let mut audit = Audit::begin(&world.genesis, head)?;
    audit.headers(&parts.headers[&0])?;
    audit.part(&parts.records[&0])?;
    audit.finish()
}

#[test]
fn a_whole_registry_holds_and_gives_its_index() {
    let world = world();
    let mut follower = IndexFollower::genesis();
    for (block, _) in &world.blocks {
        follower.follow(block).unwrap();
    }
    let index = audited(&world, &world.parts(None)).unwrap();
    assert_eq!(index.newest(), follower.newest());
    let empty = World::of(&[&[], &[]]);
    assert!(audited(&empty, &empty.parts(None)).is_ok());
}

#[test]
fn a_missing_block_and_missing_headers_are_found() {
    let world = world();
    // Without its first block the part begins in the middle of nothing; without its last it ends
    // early.
    assert!(matches!(
        audited(&world, &world.parts(Some(2))),
        Err(AuditError::Block(_) | AuditError::Short { .. })
    ));
    let whole = world.parts(None);
    let short = World::of(&[&["one", "two"], &[], &["three"]]);
    let cut = Parts {
        headers: short.parts(None).headers,
        ..whole.clone()
    };
    assert!(matches!(
        audited(&world, &cut),
        Err(AuditError::Short { expected, .. }) if expected == Height::new(5)
    ));
    let other = World::of(&[&["another"], &[], &["three"], &[], &[]]);
    let foreign = Parts {
        records: other.parts(None).records,
        ..whole
    };
    assert!(matches!(
        audited(&world, &foreign),
        Err(AuditError::Block(_))
    ));
}

#[test]
fn a_header_that_names_another_index_is_found_although_it_was_decided() {
    let mut world = world();
    world.commit_with_index(IndexRoot {
        height: Height::new(5),
        root: Digest::of(b"an index that hides something"),
    });
    assert!(matches!(
        audited(&world, &world.parts(None)),
        Err(AuditError::Index { height, .. }) if height == Height::new(6)
    ));
}

#[test]
fn a_certificate_beside_a_block_must_hold_like_that_beside_its_header() {
    let world = world();
    let mut other = self::world();
    other.blocks[2].1.round += 1;
    let mixed = Parts {
        records: other.parts(None).records,
        ..world.parts(None)
    };
    assert!(matches!(
        audited(&world, &mixed),
        Err(AuditError::Undecided { height, .. }) if height == Height::new(3)
    ));
}

#[test]
fn a_block_that_was_not_decided_is_found_although_what_follows_it_was() {
    let mut world = world();
    let (Block { header, .. }, certificate) = &mut world.blocks[1];
    let height = header.height;
    certificate.round += 1;
    assert!(matches!(
        audited(&world, &world.parts(None)),
        Err(AuditError::Undecided { height: found, .. }) if found == height
    ));
}
