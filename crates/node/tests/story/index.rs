//! The index over the interface: presence and absence with proof, whole parts, and a registry whose
//! headers lie.

use birthmark_ledger::index::{Prefix, Range, RangeProof};
use birthmark_ledger::part::{part_of_height, part_of_record};
use birthmark_ledger::{
    BlockError, Head, HeadersPart, IndexKey, IndexRoot, RecordsPart, Trusted, needed_anchor,
    verify_head, verify_receipt,
};
use birthmark_node::commands;
use birthmark_node::registry::Registry;
use birthmark_node::store::{Store, StoreUrl};
use birthmark_protocol::Digest;

use crate::authority::Authority;
use crate::blocks::{decided, decided_with, photo};
use crate::camera::{Camera, digest};
use crate::world::{Base, World, client};

async fn fetch(world: &World, path: &str) -> (u16, Vec<u8>) {
    let asked = client().get(format!("{}{path}", world.url)).send();
    let answer = asked.await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.bytes().await.unwrap().to_vec())
}

/// The newest header, believed for its certificate, once its index is there.
async fn head(world: &World) -> Head {
    for _ in 0..600 {
        let (status, bytes) = fetch(world, "/api/v1/head").await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
        let head = Head::from_json(std::str::from_utf8(&bytes).unwrap()).unwrap();
        verify_head(&head, Trusted::genesis(&world.genesis)).unwrap();
        let path = format!("/api/v1/index/{}/all", head.header.index_height);
        let (status, bytes) = fetch(world, &path).await;
        if status == 200 {
            return head;
        }
        assert_eq!(status, 503, "{}", String::from_utf8_lossy(&bytes));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the index was never made");
}

async fn ask(world: &World, index: &IndexRoot, prefix: Prefix) -> Range {
    let path = format!("/api/v1/index/{}/{prefix}", index.height);
    let (status, bytes) = fetch(world, &path).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    let proof = RangeProof::parse(&bytes).unwrap();
    proof.verify(prefix, index).unwrap()
}

async fn is_proven(world: &World, index: &IndexRoot, digest: &Digest) -> bool {
    let mut found = [false; 3];
    for (found, width) in found.iter_mut().zip([0, 3, 64]) {
        let prefix = Prefix::of(IndexKey::of(digest), width);
        *found = ask(world, index, prefix)
            .await
            .find(digest)
            .unwrap()
            .is_some();
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    found[0]
}

async fn every_photo_is_proven_and_every_other_is_proven_to_be_absent(base: Base) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(base, folder, vec![authority.entry()]).await;
    assert_eq!(fetch(&world, "/api/v1/head").await.0, 404);
    let mut photos = Vec::new();
    for _ in 0..4 {
        photos.push(world.registered(&camera).await);
    }
    for restart in [false, true] {
        if restart {
            world.stop().await;
            world.start().await;
        }
        let index = head(&world).await.header.index();
        assert!(index.height.get() >= 1);
        assert!(is_proven(&world, &index, &photos[0]).await);
        assert!(!is_proven(&world, &index, &digest()).await);
        let height = index.height;
        for (path, status) in [
            (format!("/api/v1/index/{height}/2"), 422),
            (format!("/api/v1/index/{height}/"), 404),
            (format!("/api/v1/index/{}/all", u64::MAX), 404),
            ("/api/v1/index/first/all".to_owned(), 422),
            ("/api/v1/records/1".to_owned(), 404),
            (format!("/api/v1/records/{}", u64::MAX), 404),
            ("/api/v1/headers/1".to_owned(), 404),
            ("/api/v1/headers/-1".to_owned(), 422),
        ] {
            assert_eq!(fetch(&world, &path).await.0, status, "{path}");
        }
    }
    every_receipt_can_be_cut_from_parts(&world, &photos).await;
    world.stop().await;
}

async fn every_receipt_can_be_cut_from_parts(world: &World, photos: &[Digest]) {
    let head = head(world).await;
    let size = head.header.tree_size;
    assert_eq!(size, photos.len() as u64);
    let part = part_of_record(size - 1);
    let (_, bytes) = fetch(world, &format!("/api/v1/records/{part}")).await;
    let records = RecordsPart::parse(&bytes).unwrap();
    records.check().unwrap();
    let part = part_of_height(head.header.height);
    let (_, bytes) = fetch(world, &format!("/api/v1/headers/{part}")).await;
    let headers = HeadersPart::parse(&bytes).unwrap();
    assert_eq!(
        headers.headers().last().map(|one| &one.header),
        Some(&head.header)
    );
    for (position, photo) in (0..size).zip(photos) {
        let record = records.record(position).unwrap();
        assert!(record.image(photo).is_some());
        let anchor = needed_anchor(record).map(|height| headers.at(height).unwrap().clone());
        let chain = world.genesis.chain_id.clone();
        let trusted = Trusted::genesis(&world.genesis);
        let handovers = trusted.handovers(&head.sets);
        let receipt = records
            .receipt(chain, position, anchor, &handovers)
            .unwrap();
        verify_receipt(&receipt, &trusted).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_and_absence_are_proven_on_sqlite() {
    every_photo_is_proven_and_every_other_is_proven_to_be_absent(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_and_absence_are_proven_on_postgresql() {
    every_photo_is_proven_and_every_other_is_proven_to_be_absent(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_named_in_time_for_ever_and_a_wrong_one_is_found() {
    let world = World::prepare(Base::Sqlite, tempfile::tempdir().unwrap(), vec![]);
    let store = Store::open(&world.settings.database).await.unwrap();
    let registry = Registry::open(store, world.genesis.clone()).await.unwrap();
    for number in 0..150u64 {
        let records = vec![photo(Digest::of(&number.to_be_bytes()))];
        let block = decided(&world, &registry, records).await;
        registry.append(&block, None).await.unwrap();
    }
    let made = registry.make_index().await.unwrap();
    assert_eq!(registry.indexer().newest(), made.newest());
    let findings = commands::fsck(&registry).await.unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());

    // A block whose index hides something, decided by this validator's own key.
    let tip = registry.tip();
    let lie = IndexRoot {
        height: tip.height(),
        root: Digest::of(b"an index that hides something"),
    };
    let block = decided_with(&world, &registry, vec![photo(digest())], lie).await;
    registry.append(&block, None).await.unwrap();
    let findings = commands::fsck(&registry).await.unwrap();
    let wrong = BlockError::Header("index root").to_string();
    assert_eq!(findings.problems, [format!("block 151: {wrong}")]);
    let error = commands::reindex(&registry).await.unwrap_err();
    assert!(format!("{error:#}").contains(&wrong), "{error:#}");

    let (out, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    commands::export(&registry, out.path()).await.unwrap();
    let database = format!("sqlite://{}", other.path().join("other.db").display());
    let store = Store::open(&StoreUrl::new(database)).await.unwrap();
    let copy = Registry::open(store, world.genesis.clone()).await.unwrap();
    let error = commands::import(&copy, out.path(), None).await.unwrap_err();
    assert!(format!("{error:#}").contains(&wrong), "{error:#}");
    assert_eq!(copy.tip().height().get(), 150);
}
