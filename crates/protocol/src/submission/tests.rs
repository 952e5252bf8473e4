use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::bundle::{Capture, ImageClaim, PixelSource};
use crate::digest::DigestRole;
use crate::json::Value;
use crate::numbers::ModificationLevel;
use crate::public_key::PublicKey;
use crate::token::SealedNuc;

mod refusals;
mod signatures;

const TIME: i64 = 1_795_000_000;

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

/// A certificate of the fixtures, about the key of these tests. Nobody checks its issuer here.
fn certificate() -> Vec<u8> {
    let mut der = include_bytes!("../../tests/fixtures/test-camera-der.der").to_vec();
    let old = CameraCertificate::from_der(&der)
        .unwrap()
        .key()
        .p256()
        .unwrap()
        .to_sec1();
    let new = PublicKey::from(*key().verifying_key()).to_sec1();
    let at = der
        .windows(old.len())
        .position(|window| window == old)
        .unwrap();
    der[at..at + new.len()].copy_from_slice(&new);
    der
}

fn sign(digest: &Digest) -> Signature {
    let signature: p256::ecdsa::Signature = key().sign_prehash(digest.as_bytes()).unwrap();
    signature.into()
}

fn sign_text(text: &str) -> String {
    STANDARD.encode(sign(&Digest::of(text.as_bytes())).to_der())
}

fn token() -> CameraToken {
    let sealed = SealedNuc {
        ciphertext: [1; 32],
        nonce: [2; 12],
        tag: [3; 16],
    };
    CameraToken {
        sealed,
        table: 42.try_into().unwrap(),
        index: 137.try_into().unwrap(),
    }
}

fn camera_plan() -> Json {
    json!({
        "image_hash": "AB".repeat(32),
        "camera_token": token(),
        "timestamp": TIME,
        "gps_hash": null,
        "device_signature": "00",
    })
}

fn two_hashes() -> Json {
    let (raw, processed) = ("ab".repeat(32), "cd".repeat(32));
    json!({
        "submission_type": "camera",
        "image_hashes": [
            {"image_hash": raw, "modification_level": 0, "parent_image_hash": null},
            {"image_hash": processed, "modification_level": 1, "parent_image_hash": raw},
        ],
        "camera_token": token(),
        "manufacturer_cert": {"authority_id": "SIMULATED_MFG_001", "validation_endpoint": "http://sma.example/validate"},
        "timestamp": TIME,
    })
}

fn node_plan() -> Json {
    json!({
        "image_hash": "ab".repeat(32),
        "encrypted_nuc_token": STANDARD.encode(token().sealed.to_packed()),
        "table_references": [1, 42, 9],
        "key_indices": [42, 137, 891],
        "timestamp": TIME,
        "device_signature": "anything",
    })
}

fn certificate_plan() -> Json {
    json!({
        "image_hash": "AB".repeat(32),
        "camera_cert": STANDARD.encode(certificate()),
        "software_cert": null,
        "timestamp": TIME,
        "bundle_signature": sign_text(""),
    })
}

fn photo() -> Bundle {
    let claim = |name: &[u8], role, level, parent: Option<&[u8]>| ImageClaim {
        digest: Digest::of(name),
        role,
        level,
        parent: parent.map(Digest::of),
    };
    let images = vec![
        claim(b"raw", DigestRole::Raw, ModificationLevel::RAW, None),
        claim(
            b"file",
            DigestRole::File,
            ModificationLevel::PROCESSED,
            Some(b"raw"),
        ),
        claim(
            b"data",
            DigestRole::ImageData,
            ModificationLevel::PROCESSED,
            Some(b"file"),
        ),
    ];
    let capture = Capture {
        source: PixelSource::Sensor,
        software: Some(Digest::of(b"image")),
        anchor: Some(812),
        disclosure: Some(Digest::of(b"leaves")),
    };
    Bundle::captured(images, Timestamp::from_unix(TIME), capture).unwrap()
}

fn anchor_block(bundle: &Bundle) -> Option<Digest> {
    bundle.anchor().map(|_| Digest::of(b"block"))
}

fn ours(bundle: &Bundle) -> Json {
    let opening = Opening::from_bytes([5; 32]);
    let block = anchor_block(bundle);
    let signature = sign(&bundle.digest(block.as_ref()).unwrap());
    let submission =
        OurSubmission::new(bundle, block, &certificate(), token(), &opening, &signature);
    serde_json::to_value(submission.unwrap()).unwrap()
}

fn read(route: SubmissionRoute, body: &Json) -> Result<Submission, RequestError> {
    Submission::parse(route, &serde_json::to_vec(body).unwrap())
}

fn refusal(route: SubmissionRoute, body: &Json) -> String {
    read(route, body).unwrap_err().to_string()
}

fn with(body: &Json, name: &str, value: Json) -> Json {
    let mut body = body.clone();
    body[name] = value;
    body
}

fn without(body: &Json, name: &str) -> Json {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(name);
    body
}

#[test]
fn the_camera_plans_request_is_one_hash_and_one_token() {
    let read = read(SubmissionRoute::Submit, &camera_plan()).unwrap();
    let [image] = read.bundle.images() else {
        panic!("one image")
    };
    assert_eq!(
        (image.digest, image.role, image.parent),
        (Digest::from_bytes([0xAB; 32]), DigestRole::Unstated, None)
    );
    assert_eq!(read.time().unix(), TIME);
    assert!(
        matches!(&read.camera, Camera::Token { token: TokenClaim::Structured(found), signed: None } if *found == token())
    );
    assert_eq!(read.camera.spends(), Some(token().sealed.fingerprint()));
    assert_eq!(read.authority(), None);
}

#[test]
fn the_two_hashes_of_one_shot_name_their_authority() {
    let read = read(SubmissionRoute::Submit, &two_hashes()).unwrap();
    assert_eq!(
        read.bundle.images()[1].parent,
        Some(Digest::from_bytes([0xAB; 32]))
    );
    assert_eq!(read.authority().unwrap().id, "SIMULATED_MFG_001");
    assert_eq!(
        read.authority().unwrap().endpoint,
        "http://sma.example/validate"
    );
}

#[test]
fn the_node_plans_request_has_three_keys_to_try() {
    for route in [SubmissionRoute::Submit, SubmissionRoute::Legacy] {
        let read = read(route, &node_plan()).unwrap();
        let Camera::Token {
            token: claim,
            signed: None,
        } = &read.camera
        else {
            panic!("a token")
        };
        assert_eq!(claim.candidates().nth(1), Some(token()));
        assert_eq!(read.camera.spends(), Some(token().sealed.fingerprint()));
    }
    let short = with(&node_plan(), "table_references", json!([1, 42]));
    assert_eq!(
        refusal(SubmissionRoute::Submit, &short),
        "body.table_references: expected 3 numbers"
    );
    let large = with(&node_plan(), "key_indices", json!([1, 1000, 2]));
    assert_eq!(
        refusal(SubmissionRoute::Submit, &large),
        "body.key_indices[1]: 1000 is out of range 0–999"
    );
}

#[test]
fn our_own_request_reads_back_with_its_commitment() {
    let bundle = photo();
    let read = read(SubmissionRoute::Certificate, &ours(&bundle)).unwrap();
    assert_eq!(read.bundle, bundle);
    assert_eq!(
        read.camera.signed().unwrap().verify(),
        Ok(SignedForm::Bundle)
    );
    let block = Digest::of(b"block");
    assert_eq!(read.anchor_block, Some(block));
    assert_eq!(read.bundle_digest(), bundle.digest(Some(&block)));
    assert_eq!(read.camera.spends(), Some(token().sealed.fingerprint()));
    assert_eq!(read.authority().unwrap().id, "test-maker");
}

#[test]
fn our_request_says_where_the_pixels_came_from_and_what_it_is_anchored_to() {
    let body = ours(&photo());
    let refused = |body: &Json| refusal(SubmissionRoute::Certificate, body);
    assert_eq!(
        refused(&without(&body, "source")),
        "body.source: field required"
    );
    assert_eq!(
        refused(&with(&body, "source", "scanner".into())),
        "body.source: expected sensor, file or simulated"
    );
    assert_eq!(
        refused(&with(&body, "anchor", json!({"height": 812}))),
        "body.anchor.block_hash: field required"
    );
    assert_eq!(
        refused(&with(
            &body,
            "anchor",
            json!({"height": -1, "block_hash": "ab".repeat(32)})
        )),
        "body.anchor.height: expected a block's height"
    );
    assert_eq!(
        refused(&with(&body, "gps_hash", "ab".repeat(32).into())),
        "body.gps_hash: a bundle of version 1 has its place under disclosure_root"
    );
}

#[test]
fn every_claim_of_ours_is_signed() {
    let body = ours(&photo());
    let hash = Json::from("ab".repeat(32));
    for (name, value) in [
        ("source", "simulated".into()),
        ("software", hash.clone()),
        ("disclosure_root", hash.clone()),
        ("anchor", json!({"height": 812, "block_hash": hash})),
        (
            "anchor",
            json!({"height": 811, "block_hash": Digest::of(b"block")}),
        ),
        ("anchor", Json::Null),
    ] {
        let changed = read(SubmissionRoute::Certificate, &with(&body, name, value)).unwrap();
        let verified = changed.camera.signed().unwrap().verify();
        assert_eq!(verified, Err(SignatureError::Mismatch), "{name}");
    }
}

#[test]
fn a_bundle_of_the_documents_is_not_sent_in_our_form() {
    let bundle = read(SubmissionRoute::Submit, &two_hashes()).unwrap().bundle;
    let opening = Opening::from_bytes([5; 32]);
    let signature = sign(&bundle.digest(None).unwrap());
    let sent = OurSubmission::new(&bundle, None, &certificate(), token(), &opening, &signature);
    assert_eq!(sent.err(), Some(NotOurs::NoSource));
}

#[test]
fn pem_in_base64_is_a_certificate_too() {
    let base64 = STANDARD.encode(certificate());
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    );
    let body = with(
        &certificate_plan(),
        "camera_cert",
        STANDARD.encode(pem).into(),
    );
    let read = read(SubmissionRoute::Certificate, &body).unwrap();
    assert_eq!(
        read.camera.signed().unwrap().certificate.der(),
        certificate()
    );
    let garbage = with(
        &certificate_plan(),
        "camera_cert",
        STANDARD.encode("x").into(),
    );
    assert!(
        refusal(SubmissionRoute::Certificate, &garbage)
            .starts_with("body.camera_cert: not an X.509 certificate")
    );
}

#[test]
fn a_registered_hash_may_name_any_parent_but_itself() {
    let body = json!({
        "image_hash": "ab".repeat(32),
        "timestamp": TIME,
        "submission_server_id": "press.example",
        "modification_level": 1,
        "parent_image_hash": "cd".repeat(32),
    });
    let parse = |body: &Json| RegisteredHash::parse(&serde_json::to_vec(body).unwrap());
    let read = parse(&body).unwrap();
    assert_eq!(
        (read.server_id.as_str(), read.image.level, read.gps),
        ("press.example", ModificationLevel::PROCESSED, None)
    );
    assert_eq!(read.image.parent, Some(Digest::from_bytes([0xCD; 32])));
    let own = parse(&with(&body, "parent_image_hash", "AB".repeat(32).into())).unwrap_err();
    assert_eq!(
        own.to_string(),
        "body.parent_image_hash: a photo is not its own parent"
    );
    let level = parse(&with(&body, "modification_level", 3.into())).unwrap_err();
    assert_eq!(
        level.to_string(),
        "body.modification_level: 3 is out of range 0–2"
    );
    assert!(parse(&with(&body, "submission_server_id", "".into())).is_err());
}

proptest! {
    #[test]
    fn every_submission_of_ours_reads_back(names in proptest::collection::hash_set(any::<[u8; 32]>(), 1..=8), time: i64, root: Option<[u8; 32]>, anchor in proptest::option::of(0u64..1 << 53)) {
        let names: Vec<_> = names.into_iter().map(Digest::from_bytes).collect();
        let images = names.iter().enumerate().map(|(position, digest)| ImageClaim {
            digest: *digest,
            role: DigestRole::from_byte(u8::try_from(position % 4).unwrap()).unwrap(),
            level: if position == 0 { ModificationLevel::RAW } else { ModificationLevel::MODIFIED },
            parent: position.checked_sub(1).map(|before| names[before]),
        });
        let capture = Capture {
            source: PixelSource::Simulated,
            software: None,
            anchor,
            disclosure: root.map(Digest::from_bytes),
        };
        let bundle = Bundle::captured(images.collect(), Timestamp::from_unix(time), capture).unwrap();
        let read = read(SubmissionRoute::Certificate, &ours(&bundle)).unwrap();
        prop_assert_eq!(read.bundle, bundle);
    }
}
