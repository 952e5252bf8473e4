//! Several validators: none of them alone keeps a photo out of the registry.

use birthmark_capture::settings::Nodes;
use serde_json::Value;

use crate::receipts::{genesis, test_vote_key};
use crate::world::{Mood, Validator, World};

/// A world whose camera knows a second validator besides the world's own.
async fn with_another() -> (World, Validator) {
    let mut world = World::new().await;
    let other = Validator::start().await;
    let both = vec![world.node.address.clone(), other.address.clone()];
    world.settings.node = Nodes::Several(both);
    (world, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_one_validator_refuses_is_offered_to_the_next() {
    for mood in [Mood::Refusing, Mood::Rejecting] {
        let (world, other) = with_another().await;
        let _signer = world.sign();
        world.node.feel(mood);
        let mut camera = world.shoot().await;
        camera.capture().await;
        let status = camera
            .until("the receipt", |status| status.stored == 1)
            .await;
        assert_eq!((status.waiting, status.refused), (0, 0), "{mood:?}");
        assert_eq!(other.records().len(), 1);
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_all_refuse_is_put_aside_with_everybody_s_reason() {
    let (world, other) = with_another().await;
    let _signer = world.sign();
    world.node.feel(Mood::Refusing);
    other.feel(Mood::Rejecting);
    let mut camera = world.shoot().await;
    camera.capture().await;
    camera
        .until("the refusals", |status| status.refused == 1)
        .await;
    let page = birthmark_capture::client::CaptureCalls::list_queue(&mut camera.calls, None, 10);
    let page = page.await.unwrap().unwrap();
    let reason = page.items[0].reason.clone().unwrap();
    for part in [
        world.node.address.as_str(),
        "the certificate has been revoked",
        other.address.as_str(),
        "the authority does not know this camera",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_validator_keeps_no_photo_waiting() {
    let mut world = World::new().await;
    let _signer = world.sign();
    // Nobody listens there any more.
    let silent = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    world.settings.node = Nodes::Several(vec![silent, world.node.address.clone()]);
    let mut camera = world.shoot().await;
    for count in 1..=2 {
        camera.capture().await;
        camera
            .until("the receipt", |status| status.stored == count)
            .await;
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proof_is_offered_again_after_a_day_and_not_before() {
    let world = World::new().await;
    let _signer = world.sign();
    world.node.feel(Mood::Refusing);
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    camera
        .until("the refusal", |status| status.refused == 1)
        .await;
    camera.stop().await;

    world.node.feel(Mood::Honest);
    let mut camera = world.shoot().await;
    assert_eq!(camera.status().await.refused, 1, "the refusal is of today");
    camera.stop().await;

    let refused = world.settings.state.join("refused");
    let folders = std::fs::read_dir(refused).unwrap();
    let entry = folders
        .map(|folder| folder.unwrap().path().join(&photo.id))
        .find(|path| path.exists())
        .unwrap();
    let mut text: Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
    text["at"] = (text["at"].as_i64().unwrap() - 86_401).into();
    std::fs::write(&entry, text.to_string()).unwrap();
    let mut camera = world.shoot().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_registry_is_learned_over_plain_http() {
    let mut world = World::new().await;
    let _signer = world.sign();
    // This machine as a network would name it: the camera cannot know that nobody is in between.
    let port = world.node.address.rsplit(':').next().unwrap().to_owned();
    world.settings.node = format!("http://[::ffff:127.0.0.1]:{port}").into();
    let mut camera = world.shoot().await;
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    let trouble = status.trouble.unwrap();
    assert!(
        trouble.contains("plain http") && trouble.contains("genesis"),
        "{trouble}"
    );
    assert_eq!(
        (status.registry, status.waiting, status.stored),
        (None, 1, 0)
    );
    camera.stop().await;

    // With a genesis nobody has to be believed, whatever the line.
    let file = world.path("genesis.json");
    let text = serde_json::to_string(&genesis(&test_vote_key())).unwrap();
    std::fs::write(&file, text).unwrap();
    world.settings.genesis = Some(file);
    let mut camera = world.shoot().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    camera.stop().await;
}
