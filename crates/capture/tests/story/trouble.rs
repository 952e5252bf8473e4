//! The node is away, busy, hostile or confused; the disk is full; the camera is gone.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::CaptureRefusal;
use birthmark_capture::settings::Source;

use crate::world::{DEADLINE, Mood, World};

#[tokio::test(flavor = "multi_thread")]
async fn proofs_wait_for_a_node_that_cannot_take_them_and_are_not_put_aside() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    for mood in [Mood::Busy, Mood::Nonsense, Mood::Proxy] {
        world.node.feel(mood);
        camera.capture().await;
        let asked = world.node.requests();
        camera.calls.retry_queue(None).await.unwrap().unwrap();
        camera
            .until("trouble", |status| status.trouble.is_some())
            .await;
        while world.node.requests() == asked {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let status = camera.status().await;
    assert_eq!((status.waiting, status.refused, status.stored), (3, 0, 0));
    world.node.feel(Mood::Honest);
    let status = camera
        .until("all receipts", |status| status.stored == 3)
        .await;
    assert_eq!(status.trouble, None);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_wait_for_a_node_that_is_not_there_over_a_restart() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let there = std::mem::replace(
        &mut world.settings.node,
        "http://127.0.0.1:9".to_owned().into(),
    );
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    assert!(status.trouble.unwrap().contains("cannot be reached"));
    camera.stop().await;
    world.settings.node = there;
    let mut camera = world.shoot().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    assert_eq!(world.node.records().get(&photo.raw), Some(&1));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proof_is_kept_with_the_reason_and_can_be_tried_again() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    for (mood, reason) in [
        (Mood::Refusing, "the certificate has been revoked"),
        (Mood::Rejecting, "the authority does not know this camera"),
    ] {
        world.node.feel(mood);
        let photo = camera.capture().await;
        camera
            .until("the refusal", |status| status.refused == 1)
            .await;
        let page = camera.calls.list_queue(None, 10).await.unwrap().unwrap();
        assert_eq!(page.items.len(), 1);
        let item = &page.items[0];
        assert_eq!(
            (item.id.as_str(), item.stage.as_str()),
            (photo.id.as_str(), "refused")
        );
        assert_eq!(item.reason.as_deref(), Some(reason));
        world.node.feel(Mood::Honest);
        camera
            .calls
            .retry_queue(Some(&photo.id))
            .await
            .unwrap()
            .unwrap();
        camera
            .until("the receipt", |status| {
                status.refused == 0 && status.waiting == 0
            })
            .await;
        assert_eq!(world.node.records().get(&photo.raw), Some(&1));
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_forgot_gets_the_same_proof_again() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    world.node.feel(Mood::Forgetful);
    let photo = camera.capture().await;
    camera
        .until("the receipt", |status| status.stored == 1)
        .await;
    assert_eq!(
        world.node.records().get(&photo.raw),
        Some(&1),
        "one photo, one token"
    );
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_without_a_receipt_is_not_stored() {
    let world = World::new().await;
    let _signer = world.sign();
    let mut camera = world.shoot().await;
    world.node.feel(Mood::NoReceipt);
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    assert!(status.trouble.unwrap().contains("gives no receipt"));
    assert_eq!((status.waiting, status.stored), (1, 0));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_photo_is_taken_on_a_full_disk() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.settings.keep_free_mib = 1 << 40;
    let mut camera = world.shoot().await;
    let refusal = camera.calls.capture().await.unwrap().unwrap_err();
    assert!(
        matches!(refusal, CaptureRefusal::DiskFull { .. }),
        "{refusal}"
    );
    let status = camera.status().await;
    assert!(status.disk_full);
    assert_eq!((status.photos, status.waiting), (0, 0));
    assert_eq!(
        std::fs::read_dir(world.path("photos/incoming"))
            .unwrap()
            .count(),
        0
    );
    camera.stop().await;
}

/// What systemd hears of the real program until `wanted` has come, in order of arrival.
fn notices_until(line: &UnixDatagram, wanted: &str) -> String {
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains(wanted) {
        let read = line
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("{error}, no {wanted:?} in {heard}"));
        heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        heard.push('\n');
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stands_in_the_unit_s_status_and_starves_no_watchdog() {
    let mut world = World::new().await;
    world.settings.keep_free_mib = 1 << 40;
    let settings = world.path("capture.toml");
    std::fs::write(&settings, toml::to_string(&world.settings).unwrap()).unwrap();
    let line = UnixDatagram::bind(world.path("notify")).unwrap();
    line.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_birthmark-capture"))
        .arg("--config")
        .arg(&settings)
        .env("NOTIFY_SOCKET", world.path("notify"))
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    notices_until(&line, "READY=1");
    let said = notices_until(&line, "STATUS=Self-check fails: ");
    assert!(said.contains("MiB are free for photos"), "{said}");
    assert!(
        said.contains("until some are fetched and removed"),
        "{said}"
    );
    for _ in 0..3 {
        notices_until(&line, "WATCHDOG=1");
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_said_and_photos_are_still_taken() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.settings.full_queue = 1;
    world.node.feel(Mood::Busy);
    let mut camera = world.shoot().await;
    camera.capture().await;
    assert!(!camera.status().await.queue_full);
    camera.capture().await;
    assert!(camera.status().await.queue_full);
    camera.capture().await;
    assert_eq!(camera.status().await.waiting, 3);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_not_there_is_a_sentence() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let folder = world.path("frames");
    std::fs::create_dir(&folder).unwrap();
    world.settings.source = Some(Source::Dng {
        folder: folder.clone(),
    });
    let mut camera = world.shoot().await;
    let refusal = camera.calls.capture().await.unwrap().unwrap_err();
    assert!(
        matches!(refusal, CaptureRefusal::Camera { .. }),
        "{refusal}"
    );
    assert!(
        camera
            .status()
            .await
            .camera_problem
            .unwrap()
            .contains("no DNG file")
    );
    std::fs::write(folder.join("cut.dng"), b"II*\0\x08\0\0\0").unwrap();
    let refusal = camera.calls.capture().await.unwrap().unwrap_err();
    assert!(refusal.to_string().contains("cut.dng"), "{refusal}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_put_aside_and_does_not_stop_the_others() {
    let world = World::new().await;
    let _signer = world.sign();
    world.node.feel(Mood::Busy);
    let mut camera = world.shoot().await;
    let damaged = camera.capture().await;
    let sound = camera.capture().await;
    camera.stop().await;
    let id: birthmark_capture::queue::EntryId = damaged.id.parse().unwrap();
    let file = world
        .settings
        .state
        .join("queue")
        .join(id.shard())
        .join(&damaged.id);
    std::fs::write(file, b"{").unwrap();
    world.node.feel(Mood::Honest);
    let mut camera = world.shoot().await;
    camera
        .until("the other receipt", |status| {
            status.stored == 1 && status.refused == 1
        })
        .await;
    assert!(world.node.records().contains_key(&sound.raw));
    let page = camera.calls.list_queue(None, 10).await.unwrap().unwrap();
    assert_eq!(page.items[0].stage, "damaged");
    camera.stop().await;
}

/// A server with a certificate of its own making.
struct ForeignServer {
    child: std::process::Child,
    certificate: std::path::PathBuf,
    address: String,
}

impl ForeignServer {
    fn start(folder: &std::path::Path) -> Self {
        let (key, certificate) = (folder.join("foreign.key"), folder.join("foreign.pem"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=foreign",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = std::process::Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &address, "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            certificate,
            address,
        };
        while std::net::TcpStream::connect(&server.address).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server
    }
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proof_goes_to_a_server_whose_certificate_nobody_trusts() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let server = ForeignServer::start(world.folder.path());
    world.settings.node = format!("https://{}", server.address).into();
    let mut camera = world.shoot().await;
    camera.capture().await;
    let status = camera
        .until("trouble", |status| status.trouble.is_some())
        .await;
    let trouble = status.trouble.unwrap();
    assert!(
        trouble.contains("cannot be reached") && trouble.contains("certificate"),
        "{trouble}"
    );
    assert_eq!((status.waiting, status.refused), (1, 0));
    camera.stop().await;

    // The same server, trusted: now it is spoken to. What it waits for never comes, so it never
    // answers.
    world.settings.node_authority = Some(server.certificate.clone());
    let mut camera = world.shoot().await;
    let status = camera
        .until_within(1_200, "other trouble", |status| status.trouble.is_some())
        .await;
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("did not answer in time"), "{trouble}");
    assert_eq!((status.waiting, status.refused), (1, 0));
    camera.stop().await;
}

/// Takes half a minute: that is how long the camera waits for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_answers_holds_up_neither_the_shutter_nor_the_end() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.settings.node = format!("http://{}", silent.local_addr().unwrap()).into();
    let mut camera = world.shoot().await;
    camera.capture().await;
    // The kernel takes the connection and the request; nobody reads them.
    camera.capture().await;
    assert_eq!(camera.status().await.waiting, 2);
    let status = camera
        .until_within(1_200, "trouble", |status| status.trouble.is_some())
        .await;
    assert!(status.trouble.unwrap().contains("cannot be reached"));
    assert_eq!((status.waiting, status.refused), (2, 0));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_made_by_photos_with_receipts_if_the_photographer_allows_it() {
    for allowed in [false, true] {
        let mut world = World::new().await;
        let _signer = world.sign();
        let mut camera = world.shoot().await;
        let registered = camera.capture().await;
        camera
            .until("the receipt", |status| status.stored == 1)
            .await;
        world.node.feel(Mood::Busy);
        let waiting = camera.capture().await;
        camera.stop().await;

        // More than any disk has: whatever may go, goes.
        world.settings.keep_free_mib = 1 << 40;
        world.settings.remove_registered = allowed;
        let mut camera = world.shoot().await;
        let refused = camera.calls.capture().await.unwrap().unwrap_err();
        assert!(matches!(refused, CaptureRefusal::DiskFull { .. }));
        let there = |photo: &birthmark_capture::messages::Photo, ending: &str| {
            std::path::Path::new(&photo.path)
                .with_extension(ending)
                .exists()
        };
        assert_eq!(there(&registered, "jpg"), !allowed);
        assert!(there(&registered, "json") && there(&registered, "jpg.birthmark"));
        assert!(there(&waiting, "jpg") && there(&waiting, "json"));
        assert_eq!(camera.status().await.removed, i64::from(allowed));
        camera.stop().await;
    }
}
