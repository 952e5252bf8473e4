//! Who may do what, from where, and what is written down about it.

use std::process::Command;

use serde_json::{Value, json};

use crate::camera::{Camera, commitment, public_key};
use crate::stand::{Base, Stand, client};

async fn status(stand: &Stand, token: Option<&str>, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = client().get(format!("{}{path}", stand.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn loopback_is_open_and_everything_else_needs_a_token() {
    let mut open = Stand::sqlite().await;
    assert_eq!(status(&open, None, "/api/v1/devices", &[]).await, 200);
    // A proxy on this machine speaks for strangers.
    assert_eq!(
        status(
            &open,
            None,
            "/api/v1/devices",
            &[("x-forwarded-for", "203.0.113.1")]
        )
        .await,
        401
    );
    // A web page that a person on this machine looks at is a stranger, too.
    assert_eq!(
        status(
            &open,
            None,
            "/api/v1/devices",
            &[("origin", "https://evil.example")]
        )
        .await,
        401
    );
    assert_eq!(
        status(&open, None, "/api/v1/devices", &[("host", "evil.example")]).await,
        401
    );
    assert_eq!(status(&open, None, "/control/tokens", &[]).await, 403);

    // A proxy that does not say for whom it asks looks like this machine: an authority with operators believes their tokens alone,
    // and goes on so when the last one is withdrawn.
    open.command(&["token", "create", "anna", "--role", "read"])
        .await
        .unwrap();
    assert_eq!(status(&open, None, "/api/v1/devices", &[]).await, 401);
    open.command(&["token", "revoke", "anna"]).await.unwrap();
    assert_eq!(status(&open, None, "/api/v1/devices", &[]).await, 401);
    open.stop().await;

    let mut known = Stand::with(Base::Sqlite, |settings| {
        settings.public_url = Some("https://authority.example".into())
    })
    .await;
    assert_eq!(status(&known, None, "/api/v1/devices", &[]).await, 401);
    known.stop().await;

    let mut closed = Stand::with(Base::Sqlite, |settings| {
        settings.listen = "0.0.0.0:0".parse().unwrap()
    })
    .await;
    closed.url = closed.url.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(status(&closed, None, "/api/v1/devices", &[]).await, 401);
    let (refused, _) = closed
        .post(
            "/api/v1/devices/provision",
            &json!({"device_serial": "X", "device_family": "Y", "device_public_key": public_key()}),
        )
        .await;
    assert_eq!(refused, 401);

    // Commands reach the running authority through its socket.
    let token = closed
        .command(&["token", "create", "anna", "--role", "read"])
        .await
        .unwrap()
        .trim()
        .to_owned();
    assert_eq!(
        status(&closed, Some(&token), "/api/v1/devices", &[]).await,
        200
    );
    let revoking = client()
        .post(format!("{}/api/v1/revocations", closed.url))
        .bearer_auth(&token);
    let revoking = revoking
        .json(&json!({"scope": {"kind": "family", "family": "x"}, "reason": "x"}))
        .send()
        .await
        .unwrap();
    assert_eq!(revoking.status(), 403);
    closed.command(&["token", "revoke", "anna"]).await.unwrap();
    assert_eq!(
        status(&closed, Some(&token), "/api/v1/devices", &[]).await,
        401
    );

    // Only the hash is kept.
    closed.stop().await;
    let database = std::fs::read(closed.path("authority.db")).unwrap();
    assert!(!contains(&database, token.as_bytes()));
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Everything the database's files hold.
fn everything(stand: &Stand) -> Vec<u8> {
    ["authority.db", "authority.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(stand.path(name)).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn the_authority_keeps_no_digest_no_secret_and_tells_no_serial() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "SERIAL-4711").await;
    let asked = commitment(0xC7);
    let mut answers = Vec::new();
    answers.push(stand.post("/validate", &json!({"camera_token": camera.token(&asked), "commitment": asked.to_string(), "timestamp": 1_700_000_123, "gps_hash": "ee".repeat(32)})).await.1);
    // An older node sends the photo's own digest where ours sends a commitment.
    answers.push(
        stand
            .post(
                "/validate-cert",
                &json!({"camera_cert": camera.certificate_base64(), "image_hash": "d9".repeat(32)}),
            )
            .await
            .1,
    );
    answers.push(stand.post("/api/v1/validate/batch", &json!({"requests": [{"commitment": asked.to_string(), "camera_token": camera.token(&asked)}]})).await.1);
    for path in ["/stats", "/revocations", "/api/v1/verdict-keys", "/health"] {
        answers.push(stand.get(path).await.1);
    }
    for answer in &answers {
        assert!(!answer.to_string().contains("4711"), "{answer}");
    }
    assert!(
        answers[..3]
            .iter()
            .all(|answer| answer.to_string().contains("true")),
        "{answers:?}"
    );
    stand.stop().await;
    let kept = everything(&stand);
    assert!(contains(&kept, b"SERIAL-4711"), "the database is looked at");
    for digest in [[0xC7; 32], [0xD9; 32], [0xEE; 32]] {
        assert!(!contains(&kept, &digest) && !contains(&kept, hex::encode(digest).as_bytes()));
    }
    assert!(!contains(&kept, b"1700000123") && !contains(&kept, &1_700_000_123_i64.to_be_bytes()));
    for (place, secret) in [(0, camera.table(0).1), (1, camera.table(1).1)] {
        assert!(
            !contains(&kept, secret.expose())
                && !contains(&kept, hex::encode(secret.expose()).as_bytes()),
            "master key {place}"
        );
    }
    assert!(
        !contains(&kept, camera.nuc().expose())
            && !contains(&kept, hex::encode(camera.nuc().expose()).as_bytes())
    );
}

#[tokio::test]
async fn of_many_requests_for_one_serial_at_once_one_succeeds_on_sqlite() {
    one_of_many_succeeds(Stand::sqlite().await).await;
}

#[tokio::test]
async fn of_many_requests_for_one_serial_at_once_one_succeeds_on_postgresql() {
    one_of_many_succeeds(Stand::postgres().await).await;
}

async fn one_of_many_succeeds(mut stand: Stand) {
    let request = json!({"device_serial": "CAM-1", "device_family": "Test", "device_public_key": public_key()});
    let both = eight_at_once(&stand, &request).await;
    let mut statuses: Vec<_> = both.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [201, 409, 409, 409, 409, 409, 409, 409],
        "{both:?}"
    );
    assert_eq!(stand.get("/stats").await.1["total_devices"], 1);
    stand.stop().await;
}

async fn eight_at_once(stand: &Stand, request: &Value) -> Vec<(u16, Value)> {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (url, request) = (
                format!("{}/api/v1/devices/provision", stand.url),
                request.clone(),
            );
            tokio::spawn(async move {
                let answer = client().post(url).json(&request).send().await.unwrap();
                (answer.status().as_u16(), answer.json().await.unwrap())
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn a_second_process_does_not_serve_the_same_database() {
    let mut stand = Stand::sqlite().await;
    let shutdown = birthmark_daemon::Shutdown::default();
    let (context, _) = birthmark_daemon::Context::embedded(
        crate::stand::credentials(stand.folder.path()),
        shutdown,
    );
    let refused = birthmark_sma::run(stand.settings.clone(), context)
        .await
        .unwrap_err();
    assert!(
        format!("{refused:#}").contains("another process"),
        "{refused:#}"
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_to_wait() {
    let stand = Stand::with(Base::Sqlite, |settings| {
        settings.limits.requests_per_second = 1;
        settings.limits.burst = 3;
    });
    let mut stand = stand.await;
    let mut last = None;
    for _ in 0..4 {
        last = Some(
            client()
                .get(format!("{}/stats", stand.url))
                .send()
                .await
                .unwrap(),
        );
    }
    let last = last.unwrap();
    assert_eq!(last.status(), 429);
    assert!(
        last.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_batch_costs_by_its_questions() {
    let stand = Stand::with(Base::Sqlite, |settings| {
        settings.limits.requests_per_second = 1;
        settings.limits.burst = 20;
    });
    let mut stand = stand.await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let about = commitment(1).to_string();
    let token = json!({"commitment": about, "camera_token": camera.token(&commitment(1))});
    let certificate = json!({"commitment": about, "camera_cert": camera.certificate_base64()});
    let ask = async |question: &Value, amount: usize| {
        let requests = vec![question.clone(); amount];
        let batch = json!({ "requests": requests });
        stand.post("/api/v1/validate/batch", &batch).await.0
    };
    // A hundred tokens cost ten requests; fifteen certificates cost fifteen, and there are not so many left.
    assert_eq!(ask(&token, 100).await, 200);
    assert_eq!(ask(&certificate, 15).await, 429);
    assert_eq!(ask(&certificate, 5).await, 200);
    stand.stop().await;
}

#[tokio::test]
async fn an_empty_database_says_which_command_begins() {
    let stand = Stand::sqlite().await;
    let mut empty = stand.settings.clone();
    empty.database = format!("sqlite://{}", stand.path("empty.db").display());
    empty.control = stand.path("empty.sock");
    let file = stand.path("empty.toml");
    std::fs::write(&file, toml::to_string(&empty).unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_birthmark-sma"))
        .arg("--config")
        .arg(&file)
        .env("CREDENTIALS_DIRECTORY", stand.path("credentials"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("birthmark-sma init"), "{text}");
}

#[test]
fn the_binary_names_the_line_of_a_wrong_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sma.toml");
    std::fs::write(&file, "manufacturer_id = \"x\"\ndatabase = \"mysql://x\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_birthmark-sma"))
        .args(["check-config", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("sma.toml:2") && text.contains("database"),
        "{text}"
    );
}
