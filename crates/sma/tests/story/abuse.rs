//! What strangers may cost: nothing that grows, and nothing that validators wait for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::camera::{Camera, commitment};
use crate::stand::{Base, Stand, client, openssl};

/// Rows of the audit log, and validations in them.
async fn audit_rows(stand: &Stand) -> (i64, i64) {
    let report = stand.command(&["audit", "verify"]).await.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let number = |name: &str| report[name].as_i64().unwrap();
    (number("rows"), number("entries"))
}

async fn refusals_take_no_room(mut stand: Stand) {
    let camera = Camera::provision(&stand, "CAM-1").await;
    let validator = stand.validator("library.example").await;
    stand.post("/validate", &camera.question(1)).await;
    let before = audit_rows(&stand).await;
    // A token of another photo, what nobody can read, and a whole batch of both.
    let mut foreign = camera.question(2);
    foreign["commitment"] = commitment(3).to_string().into();
    for _ in 0..50 {
        let (_, answer) = stand.post("/validate", &foreign).await;
        assert_eq!(answer["valid"], false, "{answer}");
    }
    let mut requests = vec![json!({}); 400];
    requests.extend(vec![foreign; 400]);
    let batch = json!({ "requests": requests });
    let path = "/api/v1/validate/batch";
    let (status, answer) = stand.post_as(&validator, path, &batch).await;
    assert_eq!(status, 200, "{answer}");
    // Not one row more, and every one of them is counted.
    assert_eq!(audit_rows(&stand).await, before);
    let (_, overview) = stand.get("/api/v1/overview").await;
    assert_eq!(overview["failures"]["not-opened"], 450, "{overview}");
    assert_eq!(overview["failures"]["malformed"], 400, "{overview}");
    // What passes is written down as before.
    stand.post("/validate", &camera.question(4)).await;
    let after = audit_rows(&stand).await;
    assert_eq!(after, (before.0 + 1, before.1 + 1));
    stand.stop().await;
}

#[tokio::test]
async fn refusals_of_strangers_take_no_room() {
    refusals_take_no_room(Stand::sqlite().await).await;
}

#[tokio::test]
async fn refusals_of_strangers_take_no_room_on_postgresql() {
    refusals_take_no_room(Stand::postgres().await).await;
}

#[tokio::test]
async fn with_a_full_disk_validators_are_still_answered() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let validator = stand.validator("library.example").await;
    stand.stop().await;
    // More than any disk has.
    stand.settings.disk_reserve_mb = u64::MAX;
    stand.start().await;
    let answer = client()
        .post(format!("{}/validate", stand.url))
        .header("via", "1.1 elsewhere")
        .json(&camera.question(1))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.unwrap().contains("only validators"));
    for byte in 0..20 {
        let question = camera.question(byte);
        let (status, answer) = stand.post_as(&validator, "/validate", &question).await;
        assert_eq!((status, &answer["valid"]), (200, &json!(true)), "{answer}");
    }
    // What they asked is in the log; of refusals not even the counters are written.
    let mut foreign = camera.question(2);
    foreign["commitment"] = commitment(3).to_string().into();
    stand.post_as(&validator, "/validate", &foreign).await;
    let (_, overview) = stand.get("/api/v1/overview").await;
    let hour = overview["hours"].as_array().unwrap().last().unwrap();
    assert_eq!(hour["passed"], 20, "{hour}");
    assert_eq!(overview["failures"], json!({}), "{overview}");
    let (status, health) = stand.get("/health").await;
    assert_eq!((status, &health["disk"]), (503, &json!("failing")));
    stand.stop().await;
}

/// Fifty people ask at once: the list is signed once, which its signature shows, since no two are
/// alike.
#[tokio::test]
async fn the_lists_are_made_once_however_many_ask() {
    let mut stand = Stand::sqlite().await;
    Camera::provision(&stand, "CAM-1").await;
    let ask = |path: &str| {
        let request = client().get(format!("{}{path}", stand.url));
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap()
        })
    };
    let all = async |path: &str| {
        let asked: Vec<_> = (0..50).map(|_| ask(path)).collect();
        let mut answers = BTreeSet::new();
        for one in asked {
            answers.insert(one.await.unwrap());
        }
        answers
    };
    let begun = std::time::Instant::now();
    let first = all("/revocations").await;
    assert_eq!(first.len(), 1);
    let list = all("/crl").await;
    assert_eq!(list.len(), 1);
    assert_eq!(all("/stats").await.len(), 1);
    // A second later they are still the same, although a list says when it was made. (On a machine
    // that took a minute for this they would have been made anew.)
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let later = (all("/revocations").await, all("/crl").await);
    if begun.elapsed() < std::time::Duration::from_secs(50) {
        assert_eq!(later, (first.clone(), list.clone()));
    }
    // A revocation is in the very next one.
    let revoke = ["revoke", "--device", "CAM-1", "--reason", "stolen"];
    stand.command(&revoke).await.unwrap();
    assert_ne!(all("/revocations").await, first);
    assert_ne!(all("/crl").await, list);
    stand.stop().await;
}

/// The responder has a key of its own, and repeats no nonce that no honest client would send.
#[tokio::test]
async fn a_responder_of_its_own_answers_about_certificates() {
    let stand = Stand::with(Base::Sqlite, |_| {});
    let mut stand = stand.await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let folder = stand.folder.path().to_owned();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("intermediate.pem", &stand.founded.intermediate);
    write("root.pem", &stand.founded.root);
    let certificate = camera.answer["device_certificate"].as_str().unwrap();
    write("camera.pem", certificate);
    let ask = ["ocsp", "-issuer", "intermediate.pem", "-cert", "camera.pem"];
    openssl(&folder, &[&ask[..], &["-reqout", "request.der"]].concat());
    let send = async |request: Vec<u8>| {
        let post = client().post(format!("{}/ocsp", stand.url)).body(request);
        let answer = post.send().await.unwrap().bytes().await.unwrap().to_vec();
        std::fs::write(folder.join("answer.der"), &answer).unwrap();
        answer
    };
    send(std::fs::read(folder.join("request.der")).unwrap()).await;
    let read = [
        "ocsp",
        "-respin",
        "answer.der",
        "-issuer",
        "intermediate.pem",
        "-cert",
        "camera.pem",
        "-CAfile",
        "root.pem",
        "-verify_other",
        "intermediate.pem",
        "-text",
        // The answer to another request than this call would make.
        "-no_nonce",
    ];
    let text = openssl(&folder, &read);
    assert!(text.contains("test-maker Status"), "{text}");
    assert!(text.contains("OCSP Signing"), "{text}");
    assert!(text.contains("OCSP No Check"), "{text}");
    assert!(text.contains("camera.pem: good"), "{text}");

    // RFC 9654: 1 to 128 bytes. The request's extensions follow its list, each length by hand.
    openssl(
        &folder,
        &[&ask[..], &["-no_nonce", "-reqout", "plain.der"]].concat(),
    );
    let plain = std::fs::read(folder.join("plain.der")).unwrap();
    for (length, status) in [(0, 1), (1, 0), (128, 0), (129, 1)] {
        let answer = send(with_nonce(&plain, length)).await;
        let place = answer.windows(2).position(|two| two == [0x0A, 1]).unwrap();
        assert_eq!(answer[place + 2], status, "a nonce of {length} bytes");
    }
    stand.stop().await;
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..128 => out.push(length.try_into().unwrap()),
        128..256 => out.extend([0x81, length.try_into().unwrap()]),
        _ => out.extend([0x82, (length / 256) as u8, (length % 256) as u8]),
    }
    out.extend(content);
    out
}

/// Puts a nonce of so many bytes into a request that has no extensions.
fn with_nonce(plain: &[u8], length: usize) -> Vec<u8> {
    // SEQUENCE { SEQUENCE { requests } }: both have short lengths here.
    let requests = &plain[4..];
    assert_eq!(usize::from(plain[3]), requests.len());
    let oid = [0x06, 9, 0x2B, 6, 1, 5, 5, 7, 0x30, 1, 2];
    let value = tlv(4, &tlv(4, &vec![7; length]));
    let extension = tlv(0x30, &[&oid[..], &value].concat());
    let extensions = tlv(0xA2, &tlv(0x30, &extension));
    tlv(0x30, &tlv(0x30, &[requests, &extensions].concat()))
}
