//! The signer is away, or says what it should not.

use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Photo;
use birthmark_capture::sidecar::Sidecar;
use birthmark_daemon::varlink::Peers;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_taken_without_the_signer_is_kept_said_so_and_signed_later() {
    let world = World::new().await;
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    let path = std::path::PathBuf::from(&photo.path);
    let sidecar = || -> Sidecar {
        serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap()
    };
    assert_eq!(sidecar().bundle_signature, None);
    let page = camera.calls.list_queue(None, 10).await.unwrap().unwrap();
    assert_eq!(page.items[0].stage, "unsigned");
    let status = camera
        .until("trouble", |status| status.unsigned.is_some())
        .await;
    assert!(status.unsigned.unwrap().contains("signer"));

    let _signer = world.sign();
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    assert_eq!(sidecar().key_store.as_deref(), Some("software"));
    assert_eq!(world.node.records().get(&photo.raw), Some(&1));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_was_tampered_with_changes_nothing_about_the_proof() {
    let world = World::new().await;
    let mut camera = world.shoot().await;
    let (garbled, gone, forged) = (
        camera.capture().await,
        camera.capture().await,
        camera.capture().await,
    );
    let sidecar = |photo: &Photo| std::path::Path::new(&photo.path).with_extension("json");
    std::fs::write(sidecar(&garbled), b"{\"photo\": ").unwrap();
    std::fs::remove_file(sidecar(&gone)).unwrap();
    let other = std::fs::read_to_string(sidecar(&forged)).unwrap();
    let other = other.replace(&forged.raw, &garbled.raw);
    std::fs::write(sidecar(&forged), other).unwrap();

    let _signer = world.sign();
    camera
        .until("three receipts", |status| status.stored == 3)
        .await;
    for photo in [&garbled, &gone, &forged] {
        assert_eq!(world.node.records().get(&photo.raw), Some(&1));
    }
    assert_eq!(
        std::fs::read(sidecar(&garbled)).unwrap(),
        b"{\"photo\": ",
        "what cannot be read stays as it is"
    );
    assert!(!sidecar(&gone).exists());
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_signers_socket_is_not_asked() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let stranger = birthmark_daemon::varlink::User::Id(4_000_000);
    assert!(!Peers::same_user().contain(4_000_000));
    world.settings.signer_users = vec![stranger];
    let mut camera = world.shoot().await;
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.unsigned.is_some())
        .await;
    assert!(status.unsigned.unwrap().contains("not expected there"));
    assert_eq!(world.node.requests(), 0);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_waits_for_the_signer_does_not_hold_up_the_others() {
    let mut world = World::new().await;
    world.settings.longest_pause_seconds = 3_600;
    let signer = world.sign();
    let mut camera = world.shoot().await;
    drop(signer);
    while world.path("signer").exists() {
        tokio::task::yield_now().await;
    }
    camera.capture().await;
    camera
        .until("trouble", |status| status.unsigned.is_some())
        .await;
    let _signer = world.sign();
    let signed = camera.capture().await;
    camera
        .until("the other receipt", |status| status.stored >= 1)
        .await;
    assert!(world.node.records().contains_key(&signed.raw));
    camera
        .until("both receipts", |status| status.stored == 2)
        .await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_never_answers_makes_nobody_wait() {
    let world = World::new().await;
    // It takes connections and says nothing.
    let listener = std::os::unix::net::UnixListener::bind(world.path("signer")).unwrap();
    let mut camera = world.shoot().await;
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        camera.capture().await;
    }
    let took = begin.elapsed();
    // One question to the signer alone takes ten seconds to be given up.
    assert!(took < std::time::Duration::from_secs(9), "{took:?}");
    assert_eq!(camera.status().await.waiting, 3);
    let status = camera
        .until("trouble", |status| status.unsigned.is_some())
        .await;
    assert!(status.unsigned.unwrap().contains("signer"));

    drop(listener);
    std::fs::remove_file(world.path("signer")).unwrap();
    let _signer = world.sign();
    let status = camera
        .until("three receipts", |status| status.stored == 3)
        .await;
    assert_eq!(status.unsigned, None);
    assert!(status.signing_ms.is_some());
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_is_away_keeps_no_photo_from_its_signature() {
    let mut world = World::new().await;
    world.settings.longest_pause_seconds = 3_600;
    let _signer = world.sign();
    world.node.feel(crate::world::Mood::Busy);
    let mut camera = world.shoot().await;
    camera.capture().await;
    camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    let photo = camera.capture().await;
    for _ in 0..200 {
        let path = std::path::Path::new(&photo.path).with_extension("json");
        let sidecar: Sidecar = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        if sidecar.bundle_signature.is_some() {
            camera.stop().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the photo was not signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_the_cable_says_how_far_each_proof_is() {
    let mut world = World::new().await;
    world.settings.page = true;
    let signer = world.sign();
    let mut camera = world.shoot().await;
    let registered = camera.capture().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    drop(signer);
    while world.path("signer").exists() {
        tokio::task::yield_now().await;
    }
    let unsigned = camera.capture().await;
    let name = |photo: &Photo| {
        let path = std::path::Path::new(&photo.path);
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let line = |page: &str, photo: &Photo| {
        let found = page.lines().find(|line| line.contains(&name(photo)));
        found.unwrap_or_default().to_owned()
    };
    for _ in 0..600 {
        let page = std::fs::read_to_string(world.path("photos/index.html"));
        let page = page.ok().unwrap_or_default();
        let (first, second) = (line(&page, &registered), line(&page, &unsigned));
        if first.contains("registered") && second.contains("waits for its signature") {
            assert!(page.find(&name(&unsigned)) < page.find(&name(&registered)));
            camera.stop().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the page does not say it");
}
