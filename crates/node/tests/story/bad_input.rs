//! Everything a stranger can send.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World, client};

const POSTS: [&str; 4] = [
    "/api/v1/submit",
    "/api/v1/submit-legacy",
    "/api/v1/submit-cert",
    "/api/v1/verify",
];

async fn raw(world: &World, path: &str, body: Vec<u8>) -> (u16, String) {
    let answer = client()
        .post(format!("{}{path}", world.url))
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_with_a_clear_refusal_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;

    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"image_hash\":1}".to_vec(),
        b"{\"image_hash\":\"ab\",\"image_hash\":\"cd\"}".to_vec(),
        deep.into_bytes(),
        vec![0; 1000],
    ];
    for path in POSTS {
        for body in &bodies {
            let (status, text) = raw(&world, path, body.clone()).await;
            assert!((400..500).contains(&status), "{path} {status} {text}");
            assert!(
                serde_json::from_str::<Value>(&text)
                    .unwrap()
                    .get("detail")
                    .is_some(),
                "{path} {text}"
            );
        }
        assert_eq!(raw(&world, path, vec![b' '; 80_001]).await.0, 413, "{path}");
    }

    // Every field of every shape, wrong in many ways, one at a time.
    let wrong = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!(i64::MAX),
        json!(i64::MIN),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!(true),
        json!("%%%"),
    ];
    let shapes = [
        (
            "/api/v1/submit",
            camera.camera_plan(digest(), &camera.token(), true),
        ),
        (
            "/api/v1/submit",
            camera.two_hashes(digest(), digest(), "x", "y"),
        ),
        ("/api/v1/submit-legacy", camera.legacy(digest())),
        (
            "/api/v1/submit-cert",
            camera.certificate_plan(digest(), now()),
        ),
        (
            "/api/v1/submit-cert",
            camera.ours([digest(), digest(), digest()]),
        ),
    ];
    for (path, shape) in shapes {
        for field in shape.as_object().unwrap().keys() {
            for value in &wrong {
                let mut body = shape.clone();
                body[field] = value.clone();
                let (status, text) = raw(&world, path, body.to_string().into_bytes()).await;
                assert!(
                    matches!(status, 202 | 400 | 413 | 422),
                    "{path} {field} {value}: {status} {text}"
                );
            }
        }
    }
    // A parent that is missing, or the image itself.
    let mut orphan = camera.two_hashes(digest(), digest(), "x", "y");
    orphan["image_hashes"][1]["parent_image_hash"] = digest().to_hex().into();
    assert_eq!(world.post("/api/v1/submit", &orphan).await.0, 422);
    let own = orphan["image_hashes"][1]["image_hash"].clone();
    orphan["image_hashes"][1]["parent_image_hash"] = own;
    assert_eq!(world.post("/api/v1/submit", &orphan).await.0, 422);
    // Certificates that are none.
    for der in [
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        vec![0x30; 20_000],
        vec![0x30, 0x80, 0x00, 0x00],
    ] {
        use base64::Engine as _;
        let mut body = camera.certificate_plan(digest(), now());
        body["camera_cert"] = base64::engine::general_purpose::STANDARD.encode(der).into();
        assert_eq!(world.post("/api/v1/submit-cert", &body).await.0, 422);
    }
    // Capitals are digits too.
    let image = digest();
    let mut body = camera.camera_plan(image, &camera.token(), false);
    body["image_hash"] = image.to_hex().to_uppercase().into();
    let id = world.submit("/api/v1/submit", &body).await;
    world.stored(&id).await;

    assert_eq!(world.get("/nothing/here").await.0, 404);
    let answer = client()
        .delete(format!("{}/api/v1/status", world.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(world.get("/health").await.0, 200);
    world.stop().await;
    drop(authority);
}

/// A request line that never ends is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::started(Base::Sqlite, folder, Vec::new()).await;
    let address = world.url.trim_start_matches("http://").to_owned();
    let mut endless = tokio::net::TcpStream::connect(&address).await.unwrap();
    let line = vec![b'a'; 200_000];
    let _ = endless.write_all(&line).await;
    let mut answer = Vec::new();
    let _ = endless.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    assert_eq!(world.get("/health").await.0, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::prepare(Base::Sqlite, folder, Vec::new());
    world.settings.limits.requests_per_minute = 5;
    world.settings.limits.submissions_per_minute = 2;
    world.start().await;
    for _ in 0..5 {
        assert_eq!(world.get("/api/v1/status").await.0, 200);
    }
    let answer = client()
        .get(format!("{}/api/v1/status", world.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 429);
    assert!(
        answer.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    // Submissions are counted by themselves.
    let empty = json!({});
    assert_eq!(world.post("/api/v1/submit", &empty).await.0, 422);
    assert_eq!(world.post("/api/v1/submit", &empty).await.0, 422);
    assert_eq!(world.post("/api/v1/submit", &empty).await.0, 429);
    world.stop().await;
}
