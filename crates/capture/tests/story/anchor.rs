//! The newest block that the camera has checked: named by its photos, kept, and never an older or
//! an invented one.

use std::path::Path;

use birthmark_capture::messages::Photo;
use birthmark_ledger::Head;
use serde_json::Value;

use crate::receipts::{genesis, head, other_key, test_vote_key};
use crate::world::{Mood, RunningCamera, World};

/// A world whose camera knows its registry and asks for a new block every second. No proof is sent:
/// blocks are the matter here.
async fn with_genesis() -> World {
    let mut world = World::new().await;
    let file = world.path("genesis.toml");
    std::fs::write(&file, toml::to_string(&genesis(&test_vote_key())).unwrap()).unwrap();
    world.settings.genesis = Some(file);
    world.settings.anchor_seconds = 1;
    world.node.feel(Mood::Busy);
    world
}

async fn anchored_at(camera: &mut RunningCamera, height: i64) {
    let is_there = |anchor: &birthmark_capture::messages::Anchor| anchor.height == height;
    camera
        .until("the anchor", |status| {
            status.anchor.as_ref().is_some_and(is_there)
        })
        .await;
}

fn sidecar(photo: &Photo) -> Value {
    let path = Path::new(&photo.path).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_name_the_newest_block_also_after_a_restart_without_a_network() {
    let mut world = with_genesis().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    assert_eq!(camera.capture().await.anchor, None, "there is no block yet");
    world.node.show(head(3, &test_vote_key()));
    anchored_at(&mut camera, 3).await;
    let photo = camera.capture().await;
    assert_eq!(photo.anchor, Some(3));
    let hash = head(3, &test_vote_key()).header.hash().to_hex();
    assert_eq!(sidecar(&photo)["anchor_block"], hash);
    camera.stop().await;

    world.settings.node = "http://127.0.0.1:1".to_owned().into();
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    assert_eq!(photo.anchor, Some(3));
    let status = camera
        .until("the trouble", |status| status.anchor_trouble.is_some())
        .await;
    assert_eq!(status.anchor.unwrap().height, 3);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_block_an_invented_one_and_another_of_the_same_height_change_nothing() {
    let world = with_genesis().await;
    let _signer = world.sign();
    world.node.show(head(3, &test_vote_key()));
    let mut camera = world.shoot().await;
    anchored_at(&mut camera, 3).await;

    let told = async |camera: &mut RunningCamera, shown: Head, part: &str| {
        world.node.show(shown);
        let says = |trouble: &String| trouble.contains(part);
        let status = camera
            .until(part, |status| {
                status.anchor_trouble.as_ref().is_some_and(says)
            })
            .await;
        assert_eq!(status.anchor.unwrap().height, 3);
    };
    told(&mut camera, head(9, &other_key()), "does not hold").await;
    let mut bent = head(9, &test_vote_key());
    bent.header.time = bent.header.time.plus_millis(1);
    told(&mut camera, bent, "decides another block").await;
    let mut unsigned = head(9, &test_vote_key());
    unsigned.certificate.signatures.clear();
    told(&mut camera, unsigned, "does not hold").await;
    assert_eq!(camera.capture().await.anchor, Some(3));

    // A validator that lags behind is no liar: nothing is said, and nothing goes back.
    world.node.show(head(2, &test_vote_key()));
    let status = camera
        .until("quiet", |status| status.anchor_trouble.is_none())
        .await;
    assert_eq!(status.anchor.unwrap().height, 3);
    world.node.show(head(4, &test_vote_key()));
    anchored_at(&mut camera, 4).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_told_not_to_names_no_block_and_one_of_another_registry_names_none() {
    let mut world = with_genesis().await;
    let _signer = world.sign();
    world.node.show(head(3, &test_vote_key()));
    let mut camera = world.shoot().await;
    anchored_at(&mut camera, 3).await;
    camera.stop().await;

    let settings = world.settings.clone();
    world.settings.anchor_seconds = 0;
    let mut camera = world.shoot().await;
    assert_eq!(camera.capture().await.anchor, None);
    assert_eq!(camera.status().await.anchor, None);
    camera.stop().await;

    // The card is given the genesis of another registry: what was checked before says nothing
    // there.
    world.settings = settings;
    let file = world.settings.genesis.clone().unwrap();
    std::fs::write(file, toml::to_string(&genesis(&other_key())).unwrap()).unwrap();
    let mut camera = world.shoot().await;
    assert_eq!(camera.capture().await.anchor, None);
    camera
        .until("trouble", |status| status.anchor_trouble.is_some())
        .await;
    camera.stop().await;
}
