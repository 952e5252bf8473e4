//! Edited images and submission servers, and what the family of an image looks like afterwards.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_node::admission::software;
use birthmark_node::authorities::{AuthorityBook, apply_list};
use birthmark_node::list_numbers::ListNumbers;
use birthmark_node::lookup_key::LookupKey;
use birthmark_node::settings::{ServerSettings, SoftwareAuthoritySettings};
use birthmark_protocol::{Digest, Edit, EditClaims, EditSubmission, ModificationLevel, Signature};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World, client};

const CERTIFICATE: &[u8] = include_bytes!("../fixtures/test-software.der");
const ROOT: &str = include_str!("../fixtures/test-software-root.pem");
const KEY: &str = include_str!("../fixtures/test-software.key.pem");
const REVOKED: &[u8] = include_bytes!("../fixtures/test-software.crl");
pub const TOKEN: &str = "a token for tests only";

pub fn edit(original: Digest, level: i64) -> EditClaims {
    EditClaims {
        image: digest(),
        image_data: Some(digest()),
        level: ModificationLevel::try_from(level).unwrap(),
        original,
        time: now(),
    }
}

fn signature(signed: &Digest) -> Signature {
    let key = SigningKey::from_pkcs8_pem(KEY).unwrap();
    let signature: p256::ecdsa::Signature = key.sign_prehash(signed.as_bytes()).unwrap();
    Signature::from(signature)
}

pub fn signed(edit: &EditClaims) -> Value {
    let signature = signature(&edit.signed_digest().unwrap());
    serde_json::to_value(EditSubmission::new(edit, CERTIFICATE, &signature)).unwrap()
}

pub async fn stage(base: Base) -> (World, Authority, Camera) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let root = folder.path().join("software-root.pem");
    std::fs::write(&root, ROOT).unwrap();
    let mut world = World::prepare(base, folder, vec![authority.entry()]);
    world.settings.software_authorities = vec![SoftwareAuthoritySettings {
        id: "test-software".into(),
        ca: vec![root],
        revoked: None,
    }];
    world.settings.submission_servers = vec![ServerSettings {
        id: "gateway".into(),
        token_sha256: Digest::of(TOKEN.as_bytes()),
    }];
    world.start().await;
    (world, authority, camera)
}

async fn an_edit_has_a_family(base: Base) {
    let (mut world, authority, camera) = stage(base).await;
    let images = [digest(), digest(), digest()];
    let id = world
        .submit("/api/v1/submit-cert", &camera.ours(images))
        .await;
    world.stored(&id).await;
    let first = edit(images[1], 1);
    let body = signed(&first);
    let id = world.submit("/api/v1/submit-cert", &body).await;
    world.stored(&id).await;
    assert_eq!(
        world.submit("/api/v1/submit-cert", &body).await,
        id,
        "the first receipt again"
    );
    let second = edit(first.image, 2);
    let id = world.submit("/api/v1/submit-cert", &signed(&second)).await;
    world.stored(&id).await;

    let (_, found) = world.verify(&second.image).await;
    assert_eq!(
        (
            found["modification_level"].as_u64(),
            found["parent_image_hash"].as_str()
        ),
        (Some(2), Some(first.image.to_hex().as_str()))
    );
    assert_eq!(
        (found["authority"].as_str(), found["device_family"].as_str()),
        (Some("test-software"), Some("Test Editor 1.0"))
    );
    let (_, family) = world
        .get(&format!("/api/v1/provenance/{}", second.image))
        .await;
    assert_eq!(
        relatives(&family["ancestors"]),
        [first.image, images[1], images[0]].map(|digest| digest.to_hex())
    );
    let (_, family) = world
        .get(&format!("/api/v1/provenance/{}", images[0]))
        .await;
    let descendants = relatives(&family["descendants"]);
    for below in [images[1], images[2], first.image, second.image] {
        assert!(descendants.contains(&below.to_hex()), "{family}");
    }
    assert_eq!(
        world
            .get(&format!("/api/v1/provenance/{}", digest()))
            .await
            .0,
        404
    );

    attempts_that_fail(&world, images, second.image).await;
    world.stop().await;
    drop(authority);
}

/// The digests in one direction of a family.
fn relatives(direction: &Value) -> Vec<String> {
    let digest = |relative: &Value| relative["image_hash"].as_str().unwrap().to_owned();
    direction.as_array().unwrap().iter().map(digest).collect()
}

async fn attempts_that_fail(world: &World, images: [Digest; 3], second: Digest) {
    let refused = async |body: &Value| world.refused("/api/v1/submit-cert", body).await;
    let text = refused(&signed(&edit(digest(), 1))).await;
    assert!(text.contains("parent image is not registered"), "{text}");
    let text = refused(&signed(&edit(second, 1))).await;
    assert!(text.contains("not lower than the parent's"), "{text}");
    // Signed for one parent, level or time, sent with another.
    let good = signed(&edit(images[1], 1));
    for (field, value) in [
        ("parent_image_hash", json!(images[2])),
        ("modification_level", json!(2)),
        ("timestamp", json!(now().plus(-60))),
        ("image_data_hash", json!(digest())),
    ] {
        let mut moved = good.clone();
        moved[field] = value;
        let text = refused(&moved).await;
        assert!(text.contains("signature does not match"), "{field}: {text}");
    }
    let mut later = edit(images[1], 1);
    later.time = now().plus(400);
    assert!(refused(&signed(&later)).await.contains("in the future"));
    // A certificate with one byte changed, wherever it is, is not the authority's.
    let mut der = CERTIFICATE.to_vec();
    let place = der
        .windows(11)
        .position(|bytes| bytes == b"Test Editor")
        .unwrap();
    der[place] = b'B';
    let mut forged = good.clone();
    forged["software_cert"] = STANDARD.encode(der).into();
    let text = refused(&forged).await;
    assert!(text.contains("not issued by an authority"), "{text}");
    for (field, value) in [
        ("modification_level", json!(0)),
        ("parent_image_hash", good["image_hash"].clone()),
        ("parent_image_hash", json!(null)),
        ("camera_cert", good["software_cert"].clone()),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value;
        let (status, answer) = world.post("/api/v1/submit-cert", &wrong).await;
        assert_eq!(
            (status, answer["detail"][0]["loc"][1].as_str()),
            (422, Some(field)),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_has_a_family_on_sqlite() {
    an_edit_has_a_family(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_has_a_family_on_postgresql() {
    an_edit_has_a_family(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_server_needs_its_token_and_says_so_in_every_answer() {
    let (mut world, authority, _) = stage(Base::Sqlite).await;
    let image = digest();
    let body = json!({"image_hash": image, "timestamp": now(), "submission_server_id": "gateway", "modification_level": 0});
    let send = async |token: Option<&str>, body: &serde_json::Value| {
        let request = client()
            .post(format!("{}/api/v1/blockchain/submit", world.url))
            .json(body);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<serde_json::Value>().await.unwrap(),
        )
    };
    assert_eq!(send(None, &body).await.0, 401);
    assert_eq!(send(Some("a guess"), &body).await.0, 401);
    let mut other = body.clone();
    other["submission_server_id"] = "somebody-else".into();
    assert_eq!(send(Some(TOKEN), &other).await.0, 400);
    let (status, answer) = send(Some(TOKEN), &body).await;
    assert_eq!(status, 202, "{answer}");
    world.stored(answer["receipt_id"].as_str().unwrap()).await;
    let (_, found) = world.verify(&image).await;
    assert_eq!(
        (
            found["verified"].as_bool(),
            found["assurance"].as_str(),
            found["authority"].as_str()
        ),
        (Some(true), None, Some("gateway"))
    );
    assert!(
        found["finding"]
            .as_str()
            .unwrap()
            .contains("on its own word")
    );
    let mut child = body.clone();
    child["image_hash"] = digest().to_hex().into();
    child["parent_image_hash"] = digest().to_hex().into();
    child["modification_level"] = 2.into();
    assert_eq!(
        send(Some(TOKEN), &child).await.0,
        400,
        "the parent is missing"
    );
    child["parent_image_hash"] = image.to_hex().into();
    assert_eq!(send(Some(TOKEN), &child).await.0, 202);
    world.stop().await;
    drop(authority);
}

/// A list takes a certificate back only if a pinned key signed it; what it takes back is refused at
/// once.
#[tokio::test]
async fn a_revoked_certificate_is_refused_and_a_forged_list_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("software-root.pem");
    std::fs::write(&root, ROOT).unwrap();
    let mut world = World::prepare(Base::Sqlite, folder, Vec::new());
    world.settings.software_authorities = vec![SoftwareAuthoritySettings {
        id: "test-software".into(),
        ca: vec![root],
        revoked: None,
    }];
    let own = birthmark_ledger::ValidatorId::from_bytes([1; 32]);
    let numbers = ListNumbers::default();
    let book = AuthorityBook::read(&world.settings, own, &numbers).unwrap();
    let body = signed(&edit(digest(), 1)).to_string();
    let edit = Edit::parse(body.as_bytes()).unwrap();
    let key = LookupKey::new(&[1; 32]);
    assert!(software::check(&edit, &book, &key, now()).is_ok());
    let (_, issuers) = book.software().next().unwrap();
    let mut forged = REVOKED.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(apply_list(issuers, &forged, &numbers, now()).is_err());
    assert!(software::check(&edit, &book, &key, now()).is_ok());
    // A list in a file that is nobody's stops the start; the authority's own is in force from the
    // first moment.
    let list = world.folder.path().join("software.crl");
    world.settings.software_authorities[0].revoked = Some(list.clone());
    for wrong in [None, Some(&forged[..]), Some(b"")] {
        if let Some(bytes) = wrong {
            std::fs::write(&list, bytes).unwrap();
        }
        let error = AuthorityBook::read(&world.settings, own, &numbers).unwrap_err();
        assert!(format!("{error:#}").contains("software.crl"), "{error:#}");
    }
    std::fs::write(&list, REVOKED).unwrap();
    let warned = AuthorityBook::read(&world.settings, own, &numbers).unwrap();
    let refused = software::check(&edit, &warned, &key, now()).err().unwrap();
    assert!(refused.to_string().contains("revoked"));

    assert_eq!(
        apply_list(issuers, REVOKED, &numbers, now()).map(|list| list.count),
        Ok(1)
    );
    assert!(
        software::check(&edit, &book, &key, now())
            .err()
            .unwrap()
            .to_string()
            .contains("revoked")
    );
}

/// The authority's own list: a camera it takes back is refused by every node that follows the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_its_authority_takes_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let request = json!({"scope": {"kind": "device", "serial": "CAM-0001"}, "reason": "stolen"});
    let answer = client()
        .post(format!("{}/api/v1/revocations", authority.url))
        .json(&request)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let mut entry = authority.entry();
    entry.revocations = Some(format!("{}/crl", authority.url));
    let mut world = World::started(Base::Sqlite, folder, vec![entry]).await;
    let body = camera.certificate_plan(digest(), now());
    for _ in 0..200 {
        let (status, answer) = world.post("/api/v1/submit-cert", &body).await;
        if status == 400 {
            assert!(
                answer["detail"].as_str().unwrap().contains("revoked"),
                "{answer}"
            );
            return world.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the list was never followed");
}

/// A family is withdrawn for a week after its photos were registered: they stay, and every answer
/// says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_family_keeps_its_records_and_loses_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut entry = authority.entry();
    entry.revocation_feed = Some(format!("{}/revocations", authority.url));
    let mut world = World::started(Base::Sqlite, folder, vec![entry]).await;
    let photo = world.registered(&camera).await;
    assert_eq!(world.verify(&photo).await.1["revocation"], json!(null));
    let hour = now().unix();
    let scope = json!({"kind": "family", "family": "Test Camera"});
    for (reason, from, until) in [
        ("another time", hour - 90_000, hour - 80_000),
        (
            "firmware 2.00 signed foreign pictures",
            hour - 3600,
            hour + 3600,
        ),
    ] {
        let request = json!({"scope": scope, "reason": "ticket 7", "public_reason": reason, "from": from, "until": until});
        let answer = client()
            .post(format!("{}/api/v1/revocations", authority.url))
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
    }
    world.stop().await;
    world.start().await;
    for _ in 0..200 {
        let (status, answer) = world.verify(&photo).await;
        assert_eq!(
            (status, answer["verified"].as_bool()),
            (200, Some(true)),
            "a record never goes away"
        );
        if answer["revocation"] == "firmware 2.00 signed foreign pictures" {
            return world.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the authority's own list was never shown");
}
