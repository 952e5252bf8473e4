//! A revocation holds for the very next question, by HTTP and by command, and everybody can learn
//! of it.

use std::process::Command;

use birthmark_protocol::PublicKey;
use birthmark_protocol::revocations::SignedList;
use birthmark_sma::{ca, setup};
use serde_json::{Value, json};

use crate::camera::{Camera, commitment};
use crate::stand::{Stand, client};

async fn valid(stand: &Stand, camera: &Camera) -> bool {
    let question = json!({"camera_token": camera.token(&commitment(1)), "commitment": commitment(1).to_string()});
    let (_, by_token) = stand.post("/validate", &question).await;
    let question = json!({"camera_cert": camera.certificate_base64(), "image_hash": commitment(1).to_string()});
    let (_, by_certificate) = stand.post("/validate-cert", &question).await;
    assert_eq!(
        by_token["valid"], by_certificate["valid"],
        "{by_token} {by_certificate}"
    );
    by_token["valid"].as_bool().unwrap()
}

async fn a_revocation(stand: &Stand) {
    let (one, other) = (
        Camera::provision(stand, "CAM-1").await,
        Camera::provision(stand, "CAM-2").await,
    );
    assert!(valid(stand, &one).await && valid(stand, &other).await);

    let request = json!({"scope": {"kind": "device", "serial": "CAM-1"}, "reason": "stolen"});
    let (status, answer) = stand.post("/api/v1/revocations", &request).await;
    assert_eq!(status, 201, "{answer}");
    assert!(!valid(stand, &one).await && valid(stand, &other).await);

    let lifted = client()
        .delete(format!("{}/api/v1/revocations/{}", stand.url, answer["id"]))
        .send()
        .await
        .unwrap();
    assert_eq!(lifted.status(), 204);
    assert!(valid(stand, &one).await);

    // One that begins tomorrow does not hold today; one of the whole model holds for both.
    let tomorrow = birthmark_sma::clock::now().plus(86400).unix();
    stand.post("/api/v1/revocations", &json!({"scope": {"kind": "family", "family": "Test Camera"}, "reason": "later", "from": tomorrow})).await;
    assert!(valid(stand, &one).await);
    stand
        .post(
            "/api/v1/revocations",
            &json!({"scope": {"kind": "family", "family": "Test Camera"}, "reason": "recalled"}),
        )
        .await;
    assert!(!valid(stand, &one).await && !valid(stand, &other).await);
}

#[tokio::test]
async fn a_revocation_holds_at_once_on_sqlite() {
    let mut stand = Stand::sqlite().await;
    a_revocation(&stand).await;
    stand.stop().await;
}

#[tokio::test]
async fn a_revocation_holds_at_once_on_postgresql() {
    let mut stand = Stand::postgres().await;
    a_revocation(&stand).await;
    stand.stop().await;
}

#[tokio::test]
async fn everybody_can_learn_of_a_revocation() {
    let mut stand = Stand::sqlite().await;
    let (one, other) = (
        Camera::provision(&stand, "CAM-1").await,
        Camera::provision(&stand, "CAM-2").await,
    );
    let (_, before) = stand.get("/revocations").await;
    stand
        .post(
            "/api/v1/revocations",
            &json!({"scope": {"kind": "device", "serial": "CAM-1"}, "reason": "stolen"}),
        )
        .await;

    // The feed: changed, signed, without the maker's number; then unchanged.
    let answer = client()
        .get(format!("{}/revocations", stand.url))
        .send()
        .await
        .unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let feed: Value = answer.json().await.unwrap();
    assert_ne!(feed["signed"], before["signed"]);
    let text = feed["signed"].as_str().unwrap();
    assert!(!text.contains("CAM-1"), "{text}");
    let serial = hex::encode(one.certificate().serial());
    let list: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        list["revocations"][0]["scope"],
        json!({"kind": "certificates", "first": serial, "last": serial})
    );
    let keys = [PublicKey::from_pem(&stand.founded.verdict_key).unwrap()];
    let open = |list: &Value| {
        let list: SignedList = serde_json::from_value(list.clone()).unwrap();
        list.open("test-maker", &keys, 0).unwrap()
    };
    let (earlier, later) = (open(&before), open(&feed));
    assert!(
        later.number > earlier.number,
        "a newer list has a higher number"
    );
    assert!(later.next > later.issued_at);
    let again = client()
        .get(format!("{}/revocations", stand.url))
        .header("if-none-match", &etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);

    // The CRL, by openssl.
    let crl = client()
        .get(format!("{}/crl", stand.url))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    std::fs::write(stand.path("list.der"), &crl).unwrap();
    std::fs::write(
        stand.path("chain.pem"),
        format!("{}{}", stand.founded.intermediate, stand.founded.root),
    )
    .unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(stand.folder.path())
            .output()
            .unwrap();
        (
            output.status.success(),
            format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        )
    };
    let (_, checked) = openssl(&[
        "crl",
        "-inform",
        "DER",
        "-in",
        "list.der",
        "-CAfile",
        "chain.pem",
        "-text",
        "-noout",
    ]);
    assert!(
        checked.contains("verify OK") && checked.to_lowercase().contains(&serial),
        "{checked}"
    );
    assert!(
        !checked
            .to_lowercase()
            .contains(&hex::encode(other.certificate().serial()))
    );

    // By whoever checks a chain with it: the list is found by the key that signed it.
    std::fs::write(stand.path("root.pem"), &stand.founded.root).unwrap();
    std::fs::write(stand.path("intermediate.pem"), &stand.founded.intermediate).unwrap();
    openssl(&[
        "crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem",
    ]);
    for (camera, good) in [(&one, false), (&other, true)] {
        let certificate = camera.answer["device_certificate"].as_str().unwrap();
        std::fs::write(stand.path("camera.pem"), certificate).unwrap();
        let verify = [
            "verify",
            "-crl_check",
            "-x509_strict",
            "-CAfile",
            "root.pem",
        ];
        let files = [
            "-untrusted",
            "intermediate.pem",
            "-CRLfile",
            "list.pem",
            "camera.pem",
        ];
        let (accepted, said) = openssl(&[&verify[..], &files].concat());
        assert_eq!(accepted, good, "{said}");
        assert!(good || said.contains("certificate revoked"), "{said}");
    }

    // The responder, by openssl.
    std::fs::write(stand.path("intermediate.pem"), &stand.founded.intermediate).unwrap();
    for (camera, expected) in [(&one, "revoked"), (&other, "good")] {
        std::fs::write(
            stand.path("camera.pem"),
            camera.answer["device_certificate"].as_str().unwrap(),
        )
        .unwrap();
        let url = format!("{}/ocsp", stand.url);
        let folder = stand.folder.path().to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            Command::new("openssl")
                .args([
                    "ocsp",
                    "-issuer",
                    "intermediate.pem",
                    "-cert",
                    "camera.pem",
                    "-CAfile",
                    "chain.pem",
                    "-url",
                    &url,
                ])
                .current_dir(folder)
                .output()
                .unwrap()
        });
        let asked = asked.await.unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&asked.stdout),
            String::from_utf8_lossy(&asked.stderr)
        );
        assert!(
            text.contains("Response verify OK")
                && text.contains(&format!("camera.pem: {expected}")),
            "{text}"
        );
    }
    stand.stop().await;
}

#[tokio::test]
async fn rotated_keys_leave_old_certificates_and_verdicts_good() {
    let mut stand = Stand::sqlite().await;
    let old = Camera::provision(&stand, "CAM-1").await;
    let question =
        json!({"camera_token": old.token(&commitment(1)), "commitment": commitment(1).to_string()});
    let (_, before) = stand.post("/validate", &question).await;
    stand.stop().await;
    let root_key = stand.path("root.key.pem");
    stand
        .command(&["rotate-ca", "--root-key", root_key.to_str().unwrap()])
        .await
        .unwrap();
    let printed = stand.command(&["rotate-verdict-key"]).await.unwrap();
    assert!(printed.contains("BEGIN PUBLIC KEY"), "{printed}");
    stand.start().await;
    let new = Camera::provision(&stand, "CAM-2").await;
    assert_ne!(
        old.answer["certificate_chain"][0],
        new.answer["certificate_chain"][0]
    );
    assert!(valid(&stand, &old).await && valid(&stand, &new).await);
    let (_, keys) = stand.get("/api/v1/verdict-keys").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(
        keys["keys"][1]["public_key"].as_str().unwrap().trim(),
        printed.trim()
    );
    // The old verdict is checked with the key it names, and that key signs nothing any more.
    assert_eq!(keys["keys"][0]["key_id"], before["verdict_key_id"]);
    let retired = keys["keys"][0]["public_key"].as_str().unwrap();
    let retired = PublicKey::from_pem(retired).unwrap();
    crate::plan::verdict(&before["verdict"])
        .verify(&retired)
        .unwrap();
    let (_, after) = stand.post("/validate", &question).await;
    assert!(
        crate::plan::verdict(&after["verdict"])
            .verify(&retired)
            .is_err()
    );

    // Each intermediate has its own list, and a certificate stands in the list of the one that
    // signed it.
    let revoke = json!({"scope": {"kind": "family", "family": "Test Camera"}, "reason": "a test"});
    stand.post("/api/v1/revocations", &revoke).await;
    let der = setup::der_of(&stand.founded.intermediate).unwrap();
    let former = ca::public_key_of(&der).unwrap();
    let (lists, serials) = (
        [format!("/crl/{}", former.id()), "/crl".to_owned()],
        [&old, &new].map(|camera| hex::encode(camera.certificate().serial())),
    );
    for (path, (listed, absent)) in lists.iter().zip([(0, 1), (1, 0)]) {
        let url = format!("{}{path}", stand.url);
        let list = client()
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let text = hex::encode(&list);
        assert!(text.contains(&serials[listed]) && !text.contains(&serials[absent]));
    }
    assert_eq!(stand.get("/crl/0000000000000000").await.0, 404);
    stand.stop().await;
}
