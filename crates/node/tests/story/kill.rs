//! Kill −9 at random instants under load: every accepted submission ends in exactly one record, and
//! the chain is whole.
//!
//! `BIRTHMARK_KILLS` says how often; the whole count is 200.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use birthmark_node::commands::fsck;
use birthmark_node::registry::Registry;
use birthmark_node::store::Store;
use birthmark_protocol::Digest;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now, random};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World};

async fn killed_at_random_instants(base: Base, kills: usize) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Arc::new(Camera::new(&authority, "CAM-0001").await);
    let mut world = World::prepare(base, folder, vec![authority.entry()]);
    world.settings.blocks.batch_wait_ms = 20;
    at_a_free_port(&mut world);

    let (stop, accepted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(BTreeMap::<Digest, String>::new())),
    );
    let mut loads = Vec::new();
    for _ in 0..3 {
        let (stop, accepted, camera, url) = (
            Arc::clone(&stop),
            Arc::clone(&accepted),
            Arc::clone(&camera),
            world.url.clone(),
        );
        loads.push(tokio::spawn(async move {
            let client = reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .no_proxy()
                .build()
                .unwrap();
            while !stop.load(Ordering::Relaxed) {
                let photo = digest();
                let body = camera.certificate_plan(photo, now());
                let Ok(answer) = client
                    .post(format!("{url}/api/v1/submit-cert"))
                    .json(&body)
                    .send()
                    .await
                else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                if answer.status() == 202
                    && let Ok(answer) = answer.json::<serde_json::Value>().await
                {
                    accepted
                        .lock()
                        .unwrap()
                        .insert(photo, answer["receipt_id"].as_str().unwrap().to_owned());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    let mut process = Process::start(&world);
    process.healthy(&world).await;
    for _ in 0..kills {
        let [instant] = random::<1>();
        tokio::time::sleep(Duration::from_millis(20 + u64::from(instant))).await;
        process.kill();
        process = Process::start(&world);
        process.healthy(&world).await;
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
    let accepted = accepted.lock().unwrap().clone();
    assert!(
        accepted.len() >= kills,
        "only {} submissions were accepted",
        accepted.len()
    );
    for (photo, id) in &accepted {
        world.stored(id).await;
        let (status, answer) = world.verify(photo).await;
        assert_eq!(
            (status, answer["records"].as_array().unwrap().len()),
            (200, 1),
            "{answer}"
        );
    }
    process.kill();
    let store = Store::open(&world.settings.database).await.unwrap();
    let registry = Registry::open(store.clone(), world.genesis.clone())
        .await
        .unwrap();
    let findings = fsck(&registry).await.unwrap();
    assert_eq!(findings.count, 0, "{:?}", findings.problems);
    assert!(findings.records >= accepted.len() as u64);
    eprintln!(
        "{kills} kills, {} accepted, {} records in {} blocks",
        accepted.len(),
        findings.records,
        findings.blocks
    );
    store.close().await;
}

fn kills(by_default: usize) -> usize {
    std::env::var("BIRTHMARK_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(by_default)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_nothing_is_lost_or_doubled_on_sqlite() {
    killed_at_random_instants(Base::Sqlite, kills(25)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_nothing_is_lost_or_doubled_on_postgresql() {
    killed_at_random_instants(Base::postgres(), kills(10)).await;
}
