//! What the authority does when something around it fails: a full disk, an expired certificate
//! authority, an operator who hangs up.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use birthmark_http::Peer;
use birthmark_sma::api::{Api, router};
use birthmark_sma::authority::Authority;
use birthmark_sma::ca::Issuer;
use birthmark_sma::store::{KeyPurpose, Store};
use birthmark_sma::{audit, clock, keyring, setup};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::camera::{Camera, public_key};
use crate::stand::{Base, Stand, client, credentials};

fn request(serial: &str) -> Value {
    json!({"device_serial": serial, "device_family": "Test", "device_public_key": public_key()})
}

#[tokio::test]
async fn below_the_reserve_no_camera_is_registered() {
    let mut stand = Stand::sqlite().await;
    Camera::provision(&stand, "CAM-1").await;
    stand.stop().await;
    // More than any disk has.
    stand.settings.disk_reserve_mb = u64::MAX;
    stand.start().await;
    let (status, answer) = stand
        .post("/api/v1/devices/provision", &request("CAM-2"))
        .await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_string().contains("disk is full"), "{answer}");
    let (status, health) = stand.get("/health").await;
    assert_eq!((status, &health["disk"]), (503, &json!("failing")));
    stand.stop().await;
}

/// The real program with files that cannot grow beyond so many kibibytes, as on a full disk; ended
/// with this value.
struct Cramped(Child);

impl Cramped {
    async fn start(stand: &Stand, kibibytes: u32) -> Self {
        let file = stand.path("sma.toml");
        std::fs::write(&file, toml::to_string(&stand.settings).unwrap()).unwrap();
        credentials(stand.folder.path());
        // Without the signal's default, a write beyond the limit is an error, as one on a full disk
        // is. ulimit counts in blocks of 512 bytes.
        let script = "trap '' XFSZ; ulimit -f $1; exec $2 --config $3";
        let child = Command::new("sh")
            .args(["-c", script, "sh", &(kibibytes * 2).to_string()])
            .arg(env!("CARGO_BIN_EXE_birthmark-sma"))
            .arg(&file)
            .env("CREDENTIALS_DIRECTORY", stand.path("credentials"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cramped = Self(child);
        for _ in 0..600 {
            let answer = client().get(format!("{}/stats", stand.url)).send().await;
            if answer.is_ok() {
                return cramped;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the program did not start");
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn when_nothing_can_be_written_cameras_wait_and_validation_goes_on() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    stand.stop().await;
    stand.settings.listen = free_port();
    stand.url = format!("http://{}", stand.settings.listen);
    let cramped = Cramped::start(&stand, 128).await;
    let (mut registered, mut refused) = (Vec::new(), None);
    for number in 2..200 {
        let serial = format!("CAM-{number}");
        let (status, answer) = stand
            .post("/api/v1/devices/provision", &request(&serial))
            .await;
        if status != 201 {
            refused = Some((status, answer));
            break;
        }
        registered.push(Camera { answer });
    }
    let (status, answer) = refused.expect("the files could grow");
    assert_eq!(status, 503, "{answer}");
    for byte in 0..20 {
        let (_, answer) = stand.post("/validate", &camera.question(byte)).await;
        assert_eq!(answer["valid"], true, "{answer}");
    }
    drop(cramped);

    // With room again, everything that was promised is there, and nothing else.
    stand.settings.listen = "127.0.0.1:0".parse().unwrap();
    stand.start().await;
    let (_, stats) = stand.get("/stats").await;
    assert_eq!(stats["total_devices"], registered.len() + 1);
    for camera in &registered {
        assert!(camera.is_valid(&stand).await);
    }
    Camera::provision(&stand, "CAM-200").await;
    stand.stop().await;
}

/// Puts an intermediate of six years ago in the place of the one in use: it expired a year ago.
async fn let_the_intermediate_expire(stand: &Stand) {
    let store = Store::open(&stand.settings.database, 1).await.unwrap();
    let credentials = credentials(stand.folder.path());
    let vault = setup::open_vault(&store, &credentials).await.unwrap();
    let then = clock::now().plus(-6 * 366 * 86400);
    let root = Issuer::root(&stand.settings, then).unwrap();
    let old = root.intermediate(&stand.settings, then).unwrap();
    let row = keyring::row(&vault, KeyPurpose::Intermediate, &old.der, Some(&old.key));
    store
        .replace_key(&vault, &row.unwrap(), clock::now())
        .await
        .unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_expired_intermediate_certifies_nobody_until_it_is_rotated() {
    let mut stand = Stand::with(Base::Sqlite, |_| {}).await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    stand.stop().await;
    let_the_intermediate_expire(&stand).await;
    stand.start().await;
    let (status, answer) = stand
        .post("/api/v1/devices/provision", &request("CAM-2"))
        .await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_string().contains("expired"), "{answer}");
    let (status, health) = stand.get("/health").await;
    assert_eq!((status, &health["keys"]), (503, &json!("failing")));
    // Cameras of before go on, and the serial is still free.
    assert!(camera.is_valid(&stand).await);
    let root_key = stand.path("root.key.pem");
    let rotate = ["rotate-ca", "--root-key", root_key.to_str().unwrap()];
    stand.command(&rotate).await.unwrap();
    Camera::provision(&stand, "CAM-2").await;
    assert_eq!(stand.get("/health").await.0, 200);
    stand.stop().await;
}

/// Sends a request without a network, and hangs up after so many steps.
async fn hang_up_after(steps: usize, authority: &Arc<Authority>, path: &str, body: &Value) {
    let api = Api {
        authority: Arc::clone(authority),
        open: false,
    };
    let request = Request::post(path)
        .extension(Peer::Unix { uid: 0 })
        .body(Body::from(body.to_string()))
        .unwrap();
    let mut answer = Box::pin(router(api).oneshot(request));
    for _ in 0..steps {
        let step = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
        if step.await.is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_operator_who_hangs_up_leaves_nothing_half_done() {
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    let credentials = credentials(stand.folder.path());
    let authority = Authority::open(stand.settings.clone(), &credentials).await;
    let authority = Arc::new(authority.unwrap());
    for steps in 0..40 {
        let camera = request(&format!("CAM-{steps}"));
        hang_up_after(steps, &authority, "/api/v1/devices/provision", &camera).await;
        let scope = json!({"kind": "family", "family": format!("model {steps}")});
        let revocation = json!({"scope": scope, "reason": "a test", "even_if_none": true});
        hang_up_after(steps, &authority, "/api/v1/revocations", &revocation).await;
    }
    let mut finished = false;
    for _ in 0..200 {
        finished = everything_is_finished(&authority).await;
        if finished {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(finished, "what was begun was cut off in the middle");
}

/// Whether memory and database know the same cameras and revocations, and the log has all of them
/// in one chain.
async fn everything_is_finished(authority: &Authority) -> bool {
    authority.write_audit().await.unwrap();
    let report = audit::verify(&authority.store, &authority.vault);
    let report = report.await.unwrap();
    assert_eq!(report.broken, None);
    let revocations = authority.store.revocations().await.unwrap().len();
    let cameras = authority.store.count_devices().await.unwrap();
    let cameras = usize::try_from(cameras).unwrap();
    revocations > 20
        && cameras > 20
        && revocations == authority.revocations().len()
        && cameras == authority.with_cameras(|cameras| cameras.len())
        && usize::try_from(report.entries) == Ok(cameras + revocations)
}
