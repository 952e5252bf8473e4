//! Bad input is a clear refusal that names the field; the authority stays well.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::camera::{Camera, commitment, public_key};
use crate::stand::{Stand, client, openssl};

fn location(answer: &Value) -> Vec<String> {
    let steps = answer["detail"][0]["loc"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    steps
        .iter()
        .map(|step| step.to_string().replace('"', ""))
        .collect()
}

async fn refused(stand: &Stand, path: &str, body: Value, field: &str) {
    let (status, answer) = stand.post(path, &body).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(
        location(&answer).join("."),
        format!("body.{field}"),
        "{answer}"
    );
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_by_field() {
    let mut stand = Stand::sqlite().await;
    let token = |field: &str, value: Value| {
        let mut token = json!({"ciphertext": "00".repeat(32), "nonce": "00".repeat(12), "auth_tag": "00".repeat(16), "table_id": 0, "key_index": 0});
        token[field] = value;
        json!({ "camera_token": token })
    };
    for (field, value) in [
        ("ciphertext", json!("zz".repeat(32))),
        ("nonce", json!("00")),
        ("auth_tag", json!(7)),
        ("table_id", json!(2500)),
        ("key_index", json!(-1)),
    ] {
        refused(
            &stand,
            "/validate",
            token(field, value),
            &format!("camera_token.{field}"),
        )
        .await;
    }
    let nuc = |table: i64| json!({"encrypted_nuc_hash": "00".repeat(48), "table_id": table, "key_index": 0, "nonce": "00".repeat(12)});
    assert_eq!(stand.post("/api/v1/validate/nuc", &nuc(2500)).await.0, 400);
    let mut wrong = nuc(1);
    wrong["encrypted_nuc_hash"] = "0g".repeat(48).into();
    refused(&stand, "/api/v1/validate/nuc", wrong, "encrypted_nuc_hash").await;
    refused(
        &stand,
        "/validate-cert",
        json!({"camera_cert": "!!", "image_hash": commitment(1).to_string()}),
        "camera_cert",
    )
    .await;
    stand.stop().await;
}

#[tokio::test]
async fn keys_that_cannot_be_certified_are_refused() {
    let mut stand = Stand::sqlite().await;
    let ask = |name: &str, text: String| {
        let mut body = json!({"device_serial": "CAM-1", "device_family": "Test"});
        body[name] = text.into();
        body
    };
    let openssl = |arguments: &[&str]| openssl(stand.folder.path(), arguments);
    let path = "/api/v1/devices/provision";
    openssl(&["genrsa", "-out", "small.pem", "1024"]);
    openssl(&[
        "ecparam",
        "-name",
        "secp384r1",
        "-genkey",
        "-noout",
        "-out",
        "other.pem",
    ]);
    openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "good.pem",
    ]);
    for name in ["small.pem", "other.pem"] {
        let public = openssl(&["pkey", "-in", name, "-pubout"]);
        refused(
            &stand,
            path,
            ask("device_public_key", public),
            "device_public_key",
        )
        .await;
        let csr = openssl(&["req", "-new", "-key", name, "-subj", "/CN=x"]);
        refused(&stand, path, ask("csr", csr), "csr").await;
    }
    refused(
        &stand,
        path,
        ask("device_public_key", "not PEM".into()),
        "device_public_key",
    )
    .await;
    refused(
        &stand,
        path,
        json!({"device_serial": "CAM-1", "device_family": "Test"}),
        "device_public_key",
    )
    .await;
    refused(
        &stand,
        path,
        json!({"device_family": "Test", "device_public_key": public_key()}),
        "device_serial",
    )
    .await;

    // A request whose signature was spoilt proves nothing; as openssl made it, it is taken.
    let csr = openssl(&["req", "-new", "-key", "good.pem", "-subj", "/CN=x"]);
    let (label, mut der) = der::pem::decode_vec(csr.trim().as_bytes())
        .map(|(label, der)| (label.to_owned(), der))
        .unwrap();
    *der.last_mut().unwrap() ^= 1;
    let spoilt = der::pem::encode_string(&label, der::pem::LineEnding::LF, &der).unwrap();
    refused(&stand, path, ask("csr", spoilt), "csr").await;
    let (status, answer) = stand.post(path, &ask("csr", csr)).await;
    assert_eq!(status, 201, "{answer}");
    stand.stop().await;
}

#[tokio::test]
async fn large_deep_and_repeated_bodies_are_refused() {
    let mut stand = Stand::sqlite().await;
    let post = |path: &'static str, body: String| {
        let url = format!("{}{path}", stand.url);
        async move {
            let answer = client().post(url).body(body).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    for path in ["/validate", "/api/v1/devices/provision"] {
        assert_eq!(post(path, " ".repeat(64 * 1024 + 1)).await.0, 413);
        assert_eq!(post(path, "[".repeat(60_000)).await.0, 422);
        assert_eq!(post(path, "{".into()).await.0, 422);
        assert_eq!(post(path, String::new()).await.0, 422);
    }
    let (status, text) = post(
        "/api/v1/devices/provision",
        r#"{"device_serial":"a","device_serial":"b","device_family":"c"}"#.into(),
    )
    .await;
    assert!(status == 422 && text.contains("twice"), "{text}");
    let (status, text) = post("/validate", r#"{"ciphertext":"a","ciphertext":"b"}"#.into()).await;
    assert!(status == 422 && text.contains("twice"), "{text}");
    let too_many: Vec<Value> = vec![json!({}); 1001];
    let (status, answer) = stand
        .post_as(
            &stand.validator("library.example").await,
            "/api/v1/validate/batch",
            &json!({ "requests": too_many }),
        )
        .await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(stand.get("/health").await.0, 200);
    stand.stop().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_sent_away() {
    let mut stand = Stand::sqlite().await;
    let mut slow = TcpStream::connect(stand.url.trim_start_matches("http://"))
        .await
        .unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), slow.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection was kept open");
    stand.stop().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_body_is_sent_away() {
    let mut stand = Stand::sqlite().await;
    let mut slow = TcpStream::connect(stand.url.trim_start_matches("http://"))
        .await
        .unwrap();
    slow.write_all(
        b"POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"camera_token\":",
    )
    .await
    .unwrap();
    let mut answer = [0; 1024];
    let received = tokio::time::timeout(Duration::from_secs(60), slow.read(&mut answer)).await;
    let length = received.expect("no answer came").unwrap();
    let text = String::from_utf8_lossy(&answer[..length]);
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    stand.stop().await;
}

#[tokio::test]
async fn while_the_database_is_away_the_authority_says_so_and_recovers() {
    let mut stand = Stand::postgres().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let question = json!({"camera_token": camera.token(&commitment(1)), "commitment": commitment(1).to_string()});
    let request = json!({"device_serial": "CAM-2", "device_family": "Test", "device_public_key": public_key()});
    stand.server().stop().unwrap();
    assert_eq!(stand.get("/health").await.0, 503);
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 503, "{answer}");
    // What is in memory is enough to validate; the audit rows wait.
    assert_eq!(stand.post("/validate", &question).await.1["valid"], true);
    stand.server().resume().unwrap();
    let mut status = 0;
    for _ in 0..100 {
        status = stand.post("/api/v1/devices/provision", &request).await.0;
        if status == 201 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 201);
    assert_eq!(stand.get("/health").await.0, 200);
    assert_eq!(stand.get("/stats").await.1["recent_passes_24h"], 1);
    stand.stop().await;
}
