//! Where a photo was taken is the photographer's to say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use birthmark_capture::settings::Place;
use birthmark_protocol::Disclosure;
use birthmark_protocol::gps::Position;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use zlink::introspect::Type;

use crate::world::{Stop, World, serve};

#[derive(Debug, Clone)]
struct TestGps(Arc<Mutex<FixReply>>);

#[derive(Debug, Clone, Serialize, Deserialize, Type)]
struct FixReply {
    fix: Option<Fix>,
    time: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Type)]
struct Fix {
    latitude: i32,
    longitude: i32,
    altitude: Option<i32>,
    time: i64,
    age_ms: i64,
}

#[zlink::service(interface = "org.birthmark.Gps")]
impl TestGps {
    async fn get_fix(&self) -> FixReply {
        self.0.lock().unwrap().clone()
    }
}

fn fix(age_ms: i64) -> FixReply {
    let fix = Fix {
        latitude: 4_811_730,
        longitude: 1_151_667,
        altitude: Some(545),
        time: 1_795_176_000,
        age_ms,
    };
    FixReply {
        fix: Some(fix),
        time: None,
    }
}

fn gps(world: &mut World, reply: FixReply) -> Stop {
    let path = world.path("gps");
    world.settings.gps = Some(path.clone());
    let listener = UnixListener::bind(&path).unwrap();
    serve(listener, TestGps(Arc::new(Mutex::new(reply))), path)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_is_committed_to_and_only_the_photographer_can_open_it() {
    let mut world = World::new().await;
    let (_signer, _gps) = (world.sign(), gps(&mut world, fix(300)));
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    let path = std::path::PathBuf::from(&photo.path);
    let leaves = std::fs::read_to_string(path.with_extension("leaves.json")).unwrap();
    let leaves: Disclosure = serde_json::from_str(&leaves).unwrap();
    let place = leaves.shown().next().unwrap();
    let position: Position = place.value.parse().unwrap();
    assert_eq!(position.latitude(), 4_811_730);
    assert_eq!(Some(leaves.root().to_hex()), photo.disclosure_root);
    assert_ne!(place.salt.as_bytes(), &[0; 32]);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path.with_extension("leaves.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0);
    let picture = std::fs::read(&path).unwrap();
    assert!(!picture.windows(6).any(|bytes| bytes == b"WGS-84"));
    let sidecar = std::fs::read_to_string(path.with_extension("json")).unwrap();
    assert!(!sidecar.contains("4811730") && !sidecar.contains(&place.salt.to_hex()));
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    camera.stop().await;
}

/// Without that the GPS daemon would leave, and the first photo after a pause would be taken
/// nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_stays_connected_to_the_gps_daemon() {
    let mut world = World::new().await;
    let path = world.path("gps");
    world.settings.gps = Some(path.clone());
    let listener = UnixListener::bind(&path).unwrap();
    let _signer = world.sign();
    let camera = world.shoot().await;
    // Again when the daemon had to be started anew.
    for _ in 0..2 {
        let (mut caller, _) = listener.accept().await.unwrap();
        let (mut call, mut part) = (Vec::new(), [0; 256]);
        while !call.contains(&0) {
            let count = caller.read(&mut part).await.unwrap();
            assert!(count > 0, "hung up");
            call.extend_from_slice(&part[..count]);
        }
        let call = String::from_utf8(call).unwrap();
        assert!(call.contains("\"org.birthmark.Gps.GetFix\""), "{call}");
        let answer = b"{\"parameters\":{\"fix\":null,\"time\":null}}\0";
        caller.write_all(answer).await.unwrap();
        let hung_up = tokio::time::timeout(Duration::from_millis(300), caller.read(&mut part));
        assert!(hung_up.await.is_err(), "it did not stay");
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_stands_in_the_picture_only_if_the_photographer_says_so() {
    let mut world = World::new().await;
    let (_signer, _gps) = (world.sign(), gps(&mut world, fix(300)));
    world.settings.place = Place::InPicture;
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    assert!(photo.disclosure_root.is_some());
    let picture = std::fs::read(&photo.path).unwrap();
    assert!(picture.windows(6).any(|bytes| bytes == b"WGS-84"));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_a_missing_and_an_unwanted_place_are_not_used() {
    let cases = [
        (fix(60_000), Place::Committed),
        (
            FixReply {
                fix: None,
                time: None,
            },
            Place::Committed,
        ),
        (fix(10), Place::Ignored),
    ];
    for (reply, wish) in cases {
        let mut world = World::new().await;
        let (_signer, _gps) = (world.sign(), gps(&mut world, reply));
        world.settings.place = wish;
        let mut camera = world.shoot().await;
        let photo = camera.capture().await;
        assert_eq!(photo.disclosure_root, None);
        assert!(
            !std::path::Path::new(&photo.path)
                .with_extension("leaves.json")
                .exists()
        );
        camera.stop().await;
    }
}
