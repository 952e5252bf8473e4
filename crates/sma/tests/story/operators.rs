//! Who may do what, from where, and what is written down about it.

use std::process::Command;

use birthmark_sma::settings::Settings;
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
async fn a_rehearsal_opens_loopback_to_this_machine_alone() {
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

    open.stop().await;
}

/// An authority as a maker runs it.
async fn closed(change: impl FnOnce(&mut Settings)) -> Stand {
    Stand::with(Base::Sqlite, |settings| {
        settings.rehearsal = false;
        change(settings);
    })
    .await
}

#[tokio::test]
async fn without_a_token_nobody_on_tcp_is_believed() {
    let mut closed = closed(|_| {}).await;
    // Nobody ever made a token, and whoever asks is on this machine: that is not enough.
    for path in ["/api/v1/devices", "/api/v1/overview", "/metrics"] {
        assert_eq!(status(&closed, None, path, &[]).await, 401, "{path}");
    }
    let camera =
        json!({"device_serial": "X", "device_family": "Y", "device_public_key": public_key()});
    let revocation = json!({"scope": {"kind": "family", "family": "x"}, "reason": "x"});
    for (path, body) in [
        ("/api/v1/devices/provision", &camera),
        ("/api/v1/revocations", &revocation),
        ("/api/v1/attestation/begin", &json!({})),
    ] {
        assert_eq!(closed.post(path, body).await.0, 401, "{path}");
    }

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

    // Looking is not judging: what was unusual is reviewed with a role of its own.
    let looker = closed
        .command(&["token", "create", "otto", "--role", "read"])
        .await
        .unwrap();
    let review = "/api/v1/devices/CAM-1/reviewed";
    let (refused, _) = closed.post_as(looker.trim(), review, &json!({})).await;
    assert_eq!(refused, 403);
    let judge = closed
        .command(&["token", "create", "rosa", "--role", "review"])
        .await
        .unwrap();
    let (reviewed, _) = closed.post_as(judge.trim(), review, &json!({})).await;
    assert_eq!(reviewed, 404, "there is no such camera");

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
    let mut bytes = std::fs::read(stand.path("authority.db")).unwrap();
    // There is no log while nothing is in it.
    bytes.extend(
        std::fs::read(stand.path("authority.db-wal"))
            .ok()
            .unwrap_or_default(),
    );
    bytes
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
    let token = stand.validator("library.example").await;
    let batch = json!({"requests": [{"commitment": asked.to_string(), "camera_token": camera.token(&asked)}]});
    answers.push(
        stand
            .post_as(&token, "/api/v1/validate/batch", &batch)
            .await
            .1,
    );
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
                .header("via", "1.1 elsewhere")
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
        settings.limits.validator_questions_per_second = 1;
        settings.limits.validator_questions_burst = 20;
    });
    let mut stand = stand.await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let validator = stand.validator("library.example").await;
    let about = commitment(1).to_string();
    let token = json!({"commitment": about, "camera_token": camera.token(&commitment(1))});
    let certificate = json!({"commitment": about, "camera_cert": camera.certificate_base64()});
    let ask = async |question: &Value, amount: usize| {
        let requests = vec![question.clone(); amount];
        let batch = json!({ "requests": requests });
        let path = "/api/v1/validate/batch";
        stand.post_as(&validator, path, &batch).await.0
    };
    // A hundred tokens cost ten questions; fifteen certificates cost fifteen, and there are not so
    // many left.
    assert_eq!(ask(&token, 100).await, 200);
    assert_eq!(ask(&certificate, 15).await, 429);
    assert_eq!(ask(&certificate, 5).await, 200);
    stand.stop().await;
}

#[tokio::test]
async fn strangers_ask_slowly_and_validators_do_not_wait_for_them() {
    let stand = Stand::with(Base::Sqlite, |settings| {
        settings.limits.public_questions_per_second = 1;
        settings.limits.public_questions_burst = 3;
    });
    let mut stand = stand.await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let validator = stand.validator("library.example").await;
    let mut last = (0, Value::Null);
    for byte in 0..4 {
        let question = camera.question(byte);
        last = stand.post_from_elsewhere("/validate", &question).await;
    }
    assert_eq!(last.0, 429, "{}", last.1);
    for byte in 0..20 {
        let question = camera.question(byte);
        let (status, answer) = stand.post_as(&validator, "/validate", &question).await;
        assert_eq!((status, &answer["valid"]), (200, &json!(true)), "{answer}");
    }
    // A token that is not good is not passed over in silence, and a withdrawn one is not good.
    stand
        .command(&["token", "revoke", "library.example"])
        .await
        .unwrap();
    let (status, answer) = stand
        .post_as(&validator, "/validate", &camera.question(1))
        .await;
    assert_eq!(status, 401, "{answer}");
    assert!(answer.to_string().contains("withdrawn"), "{answer}");
    stand.stop().await;
}

#[tokio::test]
async fn an_enrolment_token_enrols_the_camera_it_names_once() {
    let mut stand = closed(|_| {}).await;
    let refused = stand
        .command(&["token", "create", "any", "--role", "provision"])
        .await
        .unwrap_err();
    assert!(refused.contains("how many"), "{refused}");
    let create = ["token", "create", "card", "--role", "provision"];
    let token = stand
        .command(&[&create[..], &["--serial", "CAM-1"]].concat())
        .await
        .unwrap();
    let token = token.trim();
    let camera = |serial: &str| json!({"device_serial": serial, "device_family": "Test", "device_public_key": public_key()});
    let path = "/api/v1/devices/provision";
    let (status, other) = stand.post_as(token, path, &camera("CAM-2")).await;
    assert_eq!(status, 403, "{other}");
    assert!(other.to_string().contains("other cameras"), "{other}");
    let first = camera("CAM-1");
    assert_eq!(stand.post_as(token, path, &first).await.0, 201);
    // Also for the camera itself: the token was on a card, and the key shown is in the certificate.
    assert_eq!(stand.post_as(token, path, &first).await.0, 409);
    assert_eq!(stand.post_as(token, path, &camera("CAM-1")).await.0, 409);

    // So many cameras, and no more, also after a restart.
    let two = ["token", "create", "two", "--role", "provision"];
    let token = stand
        .command(&[&two[..], &["--cameras", "2"]].concat())
        .await
        .unwrap();
    let token = token.trim();
    assert_eq!(stand.post_as(token, path, &camera("CAM-3")).await.0, 201);
    stand.stop().await;
    stand.start().await;
    assert_eq!(stand.post_as(token, path, &camera("CAM-4")).await.0, 201);
    let (status, used) = stand.post_as(token, path, &camera("CAM-5")).await;
    assert_eq!(status, 403, "{used}");
    let listed = stand.command(&["token", "list"]).await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["serials"], json!(["CAM-1"]));
    let two = (&listed[1]["cameras"], &listed[1]["used"]);
    assert_eq!(two, (&json!(2), &json!(2)), "{listed}");
    // A week, unless something else was said.
    let made: i64 = moment(&listed[1]["created_at"]);
    assert_eq!(moment(&listed[1]["expires_at"]) - made, 7 * 86400);
    stand.stop().await;
}

fn moment(text: &Value) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text.as_str().unwrap(), format);
    moment.unwrap().unix_timestamp()
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
