//! Only a receipt that holds, for exactly this photo, lets a proof go.

use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::settings::Source;

use crate::receipts::{genesis, other_key, test_vote_key};
use crate::world::{Mood, World};

fn receipt_of(photo: &birthmark_capture::messages::Photo) -> std::path::PathBuf {
    std::path::Path::new(&photo.path).with_extension("jpg.birthmark")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_stays_until_its_receipt_holds_and_the_reason_is_told() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let file = world.path("genesis.toml");
    let text = toml::to_string(&genesis(&test_vote_key())).unwrap();
    std::fs::write(&file, text).unwrap();
    world.settings.genesis = Some(file);
    for (mood, reason) in [
        (Mood::Forging, "does not hold"),
        (Mood::MixedUp, "about another photo"),
    ] {
        world.node.feel(mood);
        let mut camera = world.shoot().await;
        let photo = camera.capture().await;
        let status = camera
            .until("trouble", |status| status.trouble.is_some())
            .await;
        assert!(status.trouble.unwrap().contains(reason));
        assert_eq!((status.waiting, status.refused, status.stored), (1, 0, 0));
        let page = camera.calls.list_queue(None, 10).await.unwrap().unwrap();
        assert_eq!(page.items[0].stage, "submitted");
        let told = page.items[0].reason.as_deref().unwrap();
        assert!(told.contains(reason), "{told}");
        assert!(!receipt_of(&photo).exists());

        world.node.feel(Mood::Honest);
        camera.calls.retry_queue(None).await.unwrap().unwrap();
        camera
            .until("the receipt", |status| status.stored == 1)
            .await;
        assert!(receipt_of(&photo).exists());
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_of_the_first_receipt_is_kept_and_no_other_is_believed() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.node.feel(Mood::Forging);
    let mut camera = world.shoot().await;
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    assert_eq!(status.registry, None, "its own receipt does not hold");

    world.node.feel(Mood::Honest);
    camera.calls.retry_queue(None).await.unwrap().unwrap();
    let status = camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    let known = status.registry.unwrap();
    let true_name = genesis(&test_vote_key()).hash().to_hex();
    assert_eq!((&known.genesis_hash, known.configured), (&true_name, false));
    camera.stop().await;

    // After a restart the same registry is believed, whatever the node says.
    world.node.feel(Mood::Forging);
    let mut camera = world.shoot().await;
    assert_eq!(
        camera.status().await.registry.unwrap().genesis_hash,
        true_name
    );
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    assert!(status.trouble.unwrap().contains("another registry"));
    assert_eq!((status.waiting, status.stored), (1, 0));
    camera.stop().await;

    // What the configuration names counts more.
    let file = world.path("genesis.json");
    std::fs::write(
        &file,
        serde_json::to_string(&genesis(&other_key())).unwrap(),
    )
    .unwrap();
    world.settings.genesis = Some(file.clone());
    let mut camera = world.shoot().await;
    let status = camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    assert!(status.registry.unwrap().configured);
    camera.stop().await;

    std::fs::write(&file, "chain_id = 7").unwrap();
    let (context, _ready) = birthmark_daemon::Context::embedded(
        birthmark_daemon::Credentials::none(),
        birthmark_daemon::Shutdown::default(),
    );
    let error = birthmark_capture::run(world.settings.clone(), context)
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("genesis.json is not a genesis"),
        "{error:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_was_registered_with_other_files_is_put_aside_with_the_reason() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.settings.dng = true;
    let mut camera = world.shoot().await;
    let original = camera.capture().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    camera.stop().await;
    let frames = world.path("frames");
    std::fs::create_dir(&frames).unwrap();
    let dng = std::path::Path::new(&original.path).with_extension("dng");
    std::fs::copy(dng, frames.join("1.dng")).unwrap();

    world.settings.source = Some(Source::Dng { folder: frames });
    world.node.feel(Mood::First);
    let mut camera = world.shoot().await;
    camera.capture().await;
    camera
        .until("the refusal", |status| status.refused == 1)
        .await;
    let page = camera.calls.list_queue(None, 10).await.unwrap().unwrap();
    let told = page.items[0].reason.as_deref().unwrap();
    assert!(
        told.contains("has this frame already, in block 1"),
        "{told}"
    );
    camera.stop().await;
}
