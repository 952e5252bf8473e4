//! Answers from memory are the database's answers: after a start, with little memory, after a block
//! that was not stored.

use birthmark_node::commands;
use birthmark_node::index::Place;
use birthmark_node::registry::Registry;
use birthmark_node::settings::MemorySettings;
use birthmark_node::store::Store;
use birthmark_protocol::Digest;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _};

use crate::authority::Authority;
use crate::blocks::{decided, photo};
use crate::camera::{Camera, digest};
use crate::world::{Base, World, client};

async fn metric(world: &World, name: &str) -> i64 {
    let url = format!("{}/metrics", world.url);
    let text = client().get(url).send().await.unwrap();
    let text = text.text().await.unwrap();
    let name = format!("birthmark_node_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap().parse().unwrap()
}

/// Lookups that found a record, and those that found none, since the start.
async fn counted(world: &World) -> (i64, i64) {
    let found = metric(world, "lookups_found_total").await;
    (found, metric(world, "lookups_missed_total").await)
}

async fn answers(world: &World, photos: &[Digest]) -> Vec<(u16, Value)> {
    let mut answers = Vec::new();
    for photo in photos {
        answers.push(world.verify(photo).await);
    }
    answers
}

async fn restarted(world: &mut World, memory: MemorySettings, in_memory: bool) {
    world.settings.memory = memory;
    world.start().await;
    for _ in 0..600 {
        if !in_memory || metric(world, "lookups_in_memory").await == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("lookups were never answered from memory");
}

async fn memory_and_database_agree(base: Base) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(base, folder, vec![authority.entry()]).await;
    let mut photos = vec![digest()];
    for _ in 0..3 {
        photos.push(world.registered(&camera).await);
    }
    let first = answers(&world, &photos).await;
    assert_eq!(first.iter().filter(|(status, _)| *status == 200).count(), 3);
    assert_eq!(metric(&world, "index_bytes").await % 12, 0);
    assert_eq!(counted(&world).await, (3, 1));
    world.stop().await;

    let whole = MemorySettings::default();
    let no_index = MemorySettings {
        index_mb: 0,
        ..whole
    };
    let nothing = MemorySettings {
        index_mb: 0,
        blocks_mb: 0,
        ..whole
    };
    for (memory, in_memory) in [(whole, true), (no_index, false), (nothing, false)] {
        restarted(&mut world, memory, in_memory).await;
        assert_eq!(answers(&world, &photos).await, first);
        assert_eq!(counted(&world).await, (3, 1));
        assert_eq!(
            metric(&world, "lookups_in_memory").await,
            i64::from(in_memory)
        );
        assert_eq!(
            metric(&world, "kept_block_bytes").await > 0,
            memory.blocks_mb > 0
        );
        world.stop().await;
    }

    let store = Store::open(&world.settings.database).await.unwrap();
    let registry = Registry::open(store.clone(), world.genesis.clone())
        .await
        .unwrap();
    registry.store().clear_index().await.unwrap();
    commands::reindex(&registry).await.unwrap();
    store.close().await;
    for (memory, in_memory) in [(whole, true), (nothing, false)] {
        restarted(&mut world, memory, in_memory).await;
        assert_eq!(answers(&world, &photos).await, first);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_database_agree_on_sqlite() {
    memory_and_database_agree(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_database_agree_on_postgresql() {
    memory_and_database_agree(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_short_way_to_an_answer_says_what_the_long_one_does() {
    let world = World::started(Base::Sqlite, tempfile::tempdir().unwrap(), Vec::new()).await;
    let photo = digest();
    let ask = async |path: String| {
        let answer = client().get(path).send().await.unwrap();
        let mut headers: Vec<_> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .filter(|(name, _)| name != "date")
            .collect();
        headers.sort();
        (
            answer.status().as_u16(),
            headers,
            answer.text().await.unwrap(),
        )
    };
    // The same handler behind two routes: only the first is answered in front of the router.
    let short = ask(format!("{}/api/v1/verify/{photo}", world.url)).await;
    let long = ask(format!("{}/api/v1/blockchain/verify/{photo}", world.url)).await;
    assert_eq!(short, long);
    assert_eq!(short.0, 404);
    let upper = ask(format!("{}/api/v1/verify/{}", world.url, "X".repeat(64))).await;
    assert_eq!(upper.0, 422);
}

#[tokio::test]
async fn a_block_that_was_not_stored_leaves_nothing_behind() {
    let world = World::prepare(Base::Sqlite, tempfile::tempdir().unwrap(), Vec::new());
    let store = Store::open(&world.settings.database).await.unwrap();
    let memory = MemorySettings::default();
    let registry = Registry::with_memory(store.clone(), world.genesis.clone(), memory)
        .await
        .unwrap();
    registry.fill_index().await.unwrap();
    let (lost, kept) = (digest(), digest());

    let url = world.settings.database.as_str();
    let mut other = sqlx::SqliteConnection::connect(url).await.unwrap();
    let full =
        "CREATE TRIGGER full BEFORE INSERT ON transactions BEGIN SELECT RAISE(ABORT, 'full'); END";
    other.execute(full).await.unwrap();
    let refused = registry
        .append(&decided(&world, &registry, vec![photo(lost)]).await, None)
        .await;
    assert!(refused.is_err());
    assert!(registry.find(&lost).await.unwrap().is_empty());
    assert_eq!(registry.kept_bytes(), 0);

    // Another block takes its place: what is remembered of the first now points at somebody else's
    // record.
    other.execute("DROP TRIGGER full").await.unwrap();
    registry
        .append(&decided(&world, &registry, vec![photo(kept)]).await, None)
        .await
        .unwrap();
    assert_eq!(registry.index().find(&lost), Place::At(vec![0]));
    assert!(registry.find(&lost).await.unwrap().is_empty());
    assert_eq!(registry.find(&kept).await.unwrap().len(), 1);
    assert_eq!(registry.record(0).await.unwrap().unwrap().leaf, 0);
    store.close().await;
}
