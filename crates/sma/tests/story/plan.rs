//! The authority's plan has a test of its own: provision with an RSA key, validate, look at the
//! totals.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::{Assurance, DerivationProfile, SignedVerdict};
use serde_json::json;

use crate::camera::{Camera, commitment};
use crate::stand::{Base, Stand};
use birthmark_sma::settings::Settings;
use birthmark_testkit::postgres::Postgres;

/// The documents' cameras bind their tokens to nothing.
fn older(settings: &mut Settings) {
    settings.provisioning.older_cameras = true;
}

async fn the_plans_story(stand: &Stand) {
    let (status, health) = stand.get("/health").await;
    assert_eq!(
        (status, health["status"].as_str()),
        (200, Some("ok")),
        "{health}"
    );

    let rsa = include_str!("../fixtures/test-rsa2048.pub.pem");
    let request = json!({"device_public_key": rsa, "device_serial": "TestDevice-0001", "device_family": "Test", "app_version": "1.0.0"});
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 201, "{answer}");
    assert!(
        answer["provisioning_id"]
            .as_str()
            .unwrap()
            .starts_with("PROV-")
    );
    let tables: Vec<i64> = serde_json::from_value(answer["table_assignments"].clone()).unwrap();
    assert!(
        tables.len() == 3
            && tables.is_sorted_by(|a, b| a < b)
            && tables.iter().all(|table| (0..2500).contains(table))
    );
    assert_eq!(answer["master_keys"].as_object().unwrap().len(), 3);
    assert_eq!(answer["certificate_chain"].as_array().unwrap().len(), 2);

    let (status, again) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 409, "{again}");

    let camera = Camera { answer };
    for (profile, expected) in [
        (DerivationProfile::A, "PASS"),
        (DerivationProfile::B, "PASS"),
    ] {
        let token = camera.older_token(profile);
        let sealed = [token.sealed.ciphertext.as_slice(), &token.sealed.tag].concat();
        let question = json!({"encrypted_nuc_hash": hex::encode(sealed), "table_id": token.table, "key_index": token.index, "nonce": hex::encode(token.sealed.nonce)});
        let (status, answer) = stand.post("/api/v1/validate/nuc", &question).await;
        assert_eq!(
            (status, answer["validation_result"].as_str()),
            (200, Some(expected)),
            "{answer}"
        );
        assert_eq!(
            (&answer["device_family"], &answer["device_serial"]),
            (&json!("Test"), &json!(null))
        );
    }

    // The plan's own test encrypts under a key of nobody and expects FAIL, not an error.
    let wrong = json!({"encrypted_nuc_hash": "ab".repeat(48), "table_id": tables[0], "key_index": 42, "nonce": "cd".repeat(12)});
    let (status, answer) = stand.post("/api/v1/validate/nuc", &wrong).await;
    assert_eq!(
        (status, answer["validation_result"].as_str()),
        (200, Some("FAIL"))
    );

    let (status, stats) = stand.get("/stats").await;
    assert_eq!(
        (
            status,
            stats["total_devices"].as_i64(),
            stats["recent_validations_24h"].as_i64()
        ),
        (200, Some(1), Some(3)),
        "{stats}"
    );
}

#[tokio::test]
async fn the_plans_story_on_sqlite() {
    let mut stand = Stand::with(Base::Sqlite, older).await;
    the_plans_story(&stand).await;
    stand.stop().await;
}

#[tokio::test]
async fn the_plans_story_on_postgresql() {
    let server = Postgres::start().unwrap();
    let mut stand = Stand::with(Base::Postgres(server), older).await;
    the_plans_story(&stand).await;
    stand.stop().await;
}

#[tokio::test]
async fn openssl_accepts_the_chain() {
    let stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let write = |name: &str, text: &str| std::fs::write(stand.path(name), text).unwrap();
    write("root.pem", &stand.founded.root);
    write("intermediate.pem", &stand.founded.intermediate);
    write(
        "camera.pem",
        camera.answer["device_certificate"].as_str().unwrap(),
    );
    let openssl = |arguments: &[&str]| {
        Command::new("openssl")
            .args(arguments)
            .current_dir(stand.folder.path())
            .output()
            .unwrap()
    };
    let verified = openssl(&[
        "verify",
        "-x509_strict",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "intermediate.pem",
        "camera.pem",
    ]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    // The subject names no camera, since every node sees it; nothing says attested, since nothing
    // was.
    let shown = openssl(&["x509", "-in", "camera.pem", "-noout", "-text"]);
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(
        !shown.contains("CAM-1") && !shown.contains("Policies"),
        "{shown}"
    );
    let key = openssl(&[
        "pkey",
        "-in",
        "root.key.pem",
        "-passin",
        &format!("pass:{}", crate::stand::PASSPHRASE),
        "-noout",
    ]);
    assert!(
        key.status.success(),
        "{}",
        String::from_utf8_lossy(&key.stderr)
    );
    assert!(
        !openssl(&[
            "pkey",
            "-in",
            "root.key.pem",
            "-passin",
            "pass:wrong",
            "-noout"
        ])
        .status
        .success()
    );
}

#[tokio::test]
async fn every_shape_of_question_is_answered() {
    let mut stand = Stand::with(Base::Sqlite, older).await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let key = birthmark_protocol::PublicKey::from_pem(&stand.founded.verdict_key).unwrap();

    // Flat, with two decoys.
    let token = camera.older_token(DerivationProfile::A);
    let decoy = camera.table(0).0;
    let flat = json!({"ciphertext": hex::encode(token.sealed.to_packed()), "table_references": [decoy, token.table, decoy], "key_indices": [1, token.index, 2]});
    let (_, answer) = stand.post("/validate", &flat).await;
    assert_eq!(answer["valid"], true, "{answer}");
    // As some nodes forward it: hexadecimal of the base64 text the camera sent.
    let text = STANDARD.encode(token.sealed.to_packed());
    let mut forwarded = flat;
    forwarded["ciphertext"] = hex::encode(&text).into();
    assert_eq!(forwarded["ciphertext"].as_str().unwrap().len(), 160);
    let (_, answer) = stand.post("/validate", &forwarded).await;
    assert_eq!(answer["valid"], true, "{answer}");

    // Structured and bound to a photo: only for that photo.
    let bound = camera.token(&commitment(1));
    for (asked, valid) in [(commitment(1), true), (commitment(2), false)] {
        let question = json!({"camera_token": bound, "manufacturer_authority_id": "test-maker", "commitment": asked.to_string()});
        let (status, answer) = stand.post("/validate", &question).await;
        assert_eq!((status, &answer["valid"]), (200, &json!(valid)), "{answer}");
        // A no is signed like a yes.
        let signed = verdict(&answer["verdict"]);
        signed.verify(&key).unwrap();
        assert_eq!(signed.verdict.items()[0].valid, valid);
    }

    // A certificate; the verdict is about what was asked, and nothing else.
    let question = json!({"camera_cert": camera.certificate_base64(), "image_hash": commitment(3).to_string()});
    let (_, answer) = stand.post("/validate-cert", &question).await;
    assert_eq!(answer["valid"], true, "{answer}");
    let verdict = verdict(&answer["verdict"]);
    verdict.verify(&key).unwrap();
    assert_eq!(verdict.verdict.items()[0].commitment, commitment(3));
    assert_eq!(verdict.verdict.manufacturer(), "test-maker");

    // After a restart the same camera is still known.
    stand.stop().await;
    stand.start().await;
    let (_, answer) = stand.post("/validate-cert", &question).await;
    assert_eq!(answer["valid"], true, "{answer}");
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_under_one_signature() {
    let stand = Stand::sqlite().await;
    let (one, other) = (
        Camera::provision(&stand, "CAM-1").await,
        Camera::provision(&stand, "CAM-2").await,
    );
    let hash = |byte| commitment(byte).to_string();
    let requests = json!({"requests": [
        {"commitment": hash(1), "camera_token": one.token(&commitment(1))},
        {"commitment": hash(2), "camera_token": one.token(&commitment(9))},
        {"commitment": hash(3), "camera_cert": other.certificate_base64(), "camera_token": other.token(&commitment(3))},
        {"commitment": hash(4), "camera_cert": other.certificate_base64(), "camera_token": one.token(&commitment(4))},
        {"commitment": "zz", "camera_token": one.token(&commitment(5))},
    ]});
    let token = stand.validator("library.example").await;
    let batch = "/api/v1/validate/batch";
    // Whoever has no token asks one by one.
    let (status, answer) = stand.post_from_elsewhere(batch, &requests).await;
    assert_eq!(status, 401, "{answer}");
    assert!(answer.to_string().contains("one by one"), "{answer}");
    let (status, answer) = stand.post_as(&token, batch, &requests).await;
    assert_eq!(status, 200, "{answer}");
    let valid: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["valid"].as_bool().unwrap())
        .collect();
    assert_eq!(valid, [true, false, true, false, false], "{answer}");
    let signed = verdict(&answer["verdict"]);
    let (_, keys) = stand.get("/api/v1/verdict-keys").await;
    assert_eq!(keys["keys"][0]["key_id"], answer["verdict_key_id"]);
    let key =
        birthmark_protocol::PublicKey::from_pem(keys["keys"][0]["public_key"].as_str().unwrap())
            .unwrap();
    signed.verify(&key).unwrap();
    let items = signed.verdict.items().iter();
    let said: Vec<_> = items
        .map(|item| (item.commitment, item.valid, item.proof.assurance()))
        .collect();
    let (token, certificate) = (Assurance::Token, Assurance::Certificate);
    assert_eq!(
        said,
        [
            (commitment(1), true, token),
            (commitment(2), false, token),
            (commitment(3), true, certificate),
            (commitment(4), false, certificate),
        ]
    );
}

pub fn verdict(text: &serde_json::Value) -> SignedVerdict {
    let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    SignedVerdict::decode(&bytes).unwrap()
}
