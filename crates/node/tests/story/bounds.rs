//! Answers that a stranger can make long: each costs a bounded time and a bounded number of bytes.

use std::time::{Duration, Instant};

use birthmark_node::registry::Registry;
use birthmark_node::store::Store;
use birthmark_protocol::Digest;

use crate::blocks::{decided, edit, photo, photo_again};
use crate::camera::digest;
use crate::world::{Base, World};

/// A registry whose blocks hold these records, a thousand in each; then the node runs on it.
async fn filled(base: Base, records: Vec<birthmark_ledger::Record>) -> World {
    let mut world = World::prepare(base, tempfile::tempdir().unwrap(), Vec::new());
    let store = Store::open(&world.settings.database).await.unwrap();
    let registry = Registry::open(store, world.genesis.clone()).await.unwrap();
    for records in records.chunks(1000) {
        let block = decided(&world, &registry, records.to_vec()).await;
        registry.append(&block, None).await.unwrap();
    }
    registry.store().close().await;
    // Blocks of the test have a time of their own, in the year 2027.
    world.settings.blocks.heartbeat_s = 0;
    world.start().await;
    world
}

async fn a_family_of_thousands_is_answered_in_bounded_time(base: Base) {
    let original = digest();
    let mut records = vec![photo(original)];
    let edits: Vec<Digest> = (0..2999).map(|_| digest()).collect();
    records.extend(edits.iter().map(|made| edit(*made, original)));
    let mut world = filled(base, records).await;
    let started = Instant::now();
    let (status, answer) = world.get(&format!("/api/v1/provenance/{original}")).await;
    let took = started.elapsed();
    assert_eq!(status, 200);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(answer["is_cut"], true);
    assert!(answer["descendants"].as_array().unwrap().len() <= 500);
    // An edit still finds where it came from.
    let (_, answer) = world.get(&format!("/api/v1/provenance/{}", edits[7])).await;
    assert_eq!(answer["ancestors"][0]["image_hash"], original.to_hex());
    assert_eq!(answer["is_cut"], false);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_of_thousands_is_answered_in_bounded_time_on_sqlite() {
    a_family_of_thousands_is_answered_in_bounded_time(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_of_thousands_is_answered_in_bounded_time_on_postgresql() {
    a_family_of_thousands_is_answered_in_bounded_time(Base::postgres()).await;
}

/// Every record of a digest can be had, a bounded number at a time.
async fn a_digest_with_thousands_of_records(base: Base) {
    let target = digest();
    let records = (0..3000).map(|second| photo_again(target, second));
    let mut world = filled(base, records.collect()).await;
    let first = format!("/api/v1/verify/{target}");
    let (mut next, mut seen) = (Some(first), std::collections::BTreeSet::new());
    while let Some(path) = next {
        let url = format!("{}{path}", world.url);
        let answer = crate::world::client().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let records = answer["records"].as_array().unwrap();
        assert!(!records.is_empty() && records.len() <= 100);
        seen.extend(
            records
                .iter()
                .map(|record| record["index"].as_u64().unwrap()),
        );
        next = answer["more"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 3000);

    // A thousand times the same digest is one answer, and every answer of many is short.
    let many = serde_json::json!({ "image_hashes": vec![target; 1000] });
    let (status, answer) = world.post("/api/v1/verify", &many).await;
    assert_eq!(status, 200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    assert!(results[0]["records"].as_array().unwrap().len() <= 100);
    assert!(results[0]["more"].is_string());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_with_thousands_of_records_is_answered_within_64_kb_on_sqlite() {
    a_digest_with_thousands_of_records(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_with_thousands_of_records_is_answered_within_64_kb_on_postgresql() {
    a_digest_with_thousands_of_records(Base::postgres()).await;
}
