//! Who is believed: only certificates that were issued, only cameras' own tokens, only rows that
//! this program wrote.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::with_pool;
use birthmark_protocol::{
    CameraCertificate, CameraExtensions, CameraToken, DerivationProfile, DeviceKey, Timestamp,
};
use birthmark_sma::ca::{CameraSubject, Issuer, PrivateKey, public_key_of};
use birthmark_sma::store::Store;
use birthmark_sma::{clock, keyring, setup};
use serde_json::{Value, json};

use crate::camera::{Camera, commitment, public_key};
use crate::stand::{Stand, client, credentials};

/// The intermediate in use, as somebody has it who got hold of its key.
async fn stolen_intermediate(stand: &Stand) -> Issuer {
    let store = Store::open(&stand.settings.database, 1).await.unwrap();
    let credentials = credentials(stand.folder.path());
    let vault = setup::open_vault(&store, &credentials).await.unwrap();
    let keyring = keyring::Keyring::load(&store, &vault).await.unwrap();
    store.close().await;
    keyring.issuer.clone()
}

/// Certifies a key of the thief's, with a token that was copied or made.
fn forged(stand: &Stand, issuer: &Issuer, token: CameraToken, now: Timestamp) -> CameraCertificate {
    let key = DeviceKey::P256(PrivateKey::generate().unwrap().public());
    let extensions = CameraExtensions {
        manufacturer_id: "test-maker".into(),
        ma_endpoint: stand.settings.endpoint.clone(),
        token,
        device_family: "Test Camera".into(),
    };
    let subject = CameraSubject {
        key: &key,
        extensions,
        attested: true,
    };
    let der = issuer.certify(&stand.settings, subject, now).unwrap();
    CameraCertificate::from_der(&der).unwrap()
}

async fn ask(stand: &Stand, certificate: &CameraCertificate) -> Value {
    let question = json!({"camera_cert": STANDARD.encode(certificate.der()), "commitment": commitment(1).to_string()});
    let (status, answer) = stand.post("/validate-cert", &question).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// How often certificates were refused because they were never issued.
async fn never_issued(stand: &Stand) -> Value {
    stand.get("/api/v1/overview").await.1["failures"]["not-issued"].clone()
}

#[tokio::test]
async fn a_copied_token_in_a_certificate_for_another_key_is_refused() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    assert_eq!(ask(&stand, &camera.certificate()).await["valid"], true);
    let issuer = stolen_intermediate(&stand).await;
    // The token of a published certificate opens beside its own key only.
    let copied = camera.certificate().extensions().token;
    let answer = ask(&stand, &forged(&stand, &issuer, copied, clock::now())).await;
    assert_eq!(answer["valid"], false, "{answer}");

    // Somebody who opened the camera can make one for his own key: but it was never issued.
    let (table, master) = camera.table(0);
    let index = 7.try_into().unwrap();
    let older = camera.older_token(DerivationProfile::A);
    let key = PrivateKey::generate().unwrap().public();
    let nonce = birthmark_sma::random::bytes().unwrap();
    let made = CameraToken::issue_certificate(
        &camera.nuc(),
        &master,
        table,
        index,
        nonce,
        &key.to_spki_der(),
    );
    for token in [older, made] {
        let answer = ask(&stand, &forged(&stand, &issuer, token, clock::now())).await;
        assert_eq!(answer["valid"], false, "{answer}");
        assert!(answer["assurance"].is_null());
    }
    // The unbound one opened, as those of the field do, and was refused for what it was in.
    assert_eq!(never_issued(&stand).await, 1);
    stand.stop().await;
}

#[tokio::test]
async fn a_certificate_that_begins_before_its_issuer_is_refused() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let issuer = stolen_intermediate(&stand).await;
    let (from, _) = issuer.validity();
    let token = camera.older_token(DerivationProfile::A);
    let now = clock::now();
    assert!(from.since(now) < 0);
    // Our own builder keeps certificates inside their issuer's time; a thief's does not.
    let mut early = issuer.clone();
    early.certificate = Issuer::root(&stand.settings, now.plus(-86400))
        .unwrap()
        .certificate;
    let certificate = forged(&stand, &early, token, now.plus(-7200));
    let answer = ask(&stand, &certificate).await;
    assert!(
        answer["message"].as_str().unwrap().contains("not valid at"),
        "{answer}"
    );
    stand.stop().await;
}

async fn distrusted(mut stand: Stand) {
    let camera = Camera::provision(&stand, "CAM-1").await;
    let old = public_key_of(&stolen_intermediate(&stand).await.der).unwrap();
    let (_, keys) = stand.get("/api/v1/verdict-keys").await;
    let old_verdict = keys["keys"][0]["key_id"].as_str().unwrap().to_owned();
    // A key in use is replaced first: otherwise nothing would be signed at all.
    for key in [old.id().to_string(), old_verdict.clone()] {
        let refused = stand.command(&["distrust", &key]).await.unwrap_err();
        assert!(refused.contains("in use"), "{refused}");
    }
    let unknown = stand.command(&["distrust", "0000000000000000"]).await;
    assert!(unknown.unwrap_err().contains("no intermediate"));
    let root_key = stand.path("root.key.pem");
    let rotate = ["rotate-ca", "--root-key", root_key.to_str().unwrap()];
    stand.command(&rotate).await.unwrap();
    stand.command(&["rotate-verdict-key"]).await.unwrap();
    let new = Camera::provision(&stand, "CAM-2").await;
    assert_eq!(ask(&stand, &camera.certificate()).await["valid"], true);

    // From a moment that has not come nothing changes yet.
    let id = old.id().to_string();
    stand
        .command(&["distrust", &id, "--from", "2100-01-01T00:00:00Z"])
        .await
        .unwrap();
    assert_eq!(ask(&stand, &camera.certificate()).await["valid"], true);
    stand
        .command(&["distrust", &id, "--from", "2026-01-01T00:00:00Z"])
        .await
        .unwrap();
    let from = clock::now().plus(-60);
    let since = from.unix().to_string();
    stand
        .command(&["distrust", &old_verdict, "--from", &since])
        .await
        .unwrap();
    for _ in 0..2 {
        let answer = ask(&stand, &camera.certificate()).await;
        assert_eq!(answer["valid"], false, "{answer}");
        assert_eq!(ask(&stand, &new.certificate()).await["valid"], true);
        // The camera itself is believed by its tokens.
        assert!(camera.is_valid(&stand).await);
        // Its certificate stands in the list of the distrusted intermediate.
        let list = client().get(format!("{}/crl/{id}", stand.url));
        let list = list.send().await.unwrap().bytes().await.unwrap();
        let number = hex::encode(camera.certificate().serial());
        assert!(hex::encode(&list).contains(&number));
        let (_, keys) = stand.get("/api/v1/verdict-keys").await;
        assert_eq!(keys["keys"][0]["distrusted_from"], from.unix());
        assert_eq!(keys["keys"][0]["not_after"], from.unix());
        assert!(keys["keys"][1]["distrusted_from"].is_null());
        // And so it stays after a restart.
        stand.stop().await;
        stand.start().await;
    }
    stand.stop().await;
}

#[tokio::test]
async fn an_intermediate_that_was_distrusted_vouches_for_nobody() {
    distrusted(Stand::sqlite().await).await;
}

#[tokio::test]
async fn an_intermediate_that_was_distrusted_vouches_for_nobody_on_postgresql() {
    distrusted(Stand::postgres().await).await;
}

#[tokio::test]
async fn a_camera_that_binds_its_tokens_is_not_believed_unbound() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    assert!(camera.is_valid(&stand).await);
    let unbound = camera.older_token(DerivationProfile::A);
    let question = json!({"camera_token": unbound, "commitment": commitment(1).to_string()});
    let (_, answer) = stand.post("/validate", &question).await;
    assert_eq!(answer["valid"], false, "{answer}");
    // A forger is not told how close it was.
    assert_eq!(
        answer["message"],
        "the token is not one of a registered camera"
    );
    let (_, overview) = stand.get("/api/v1/overview").await;
    assert_eq!(overview["failures"]["unbound"], 1, "{overview}");

    // A camera of the documents says that it does not.
    let request = json!({"device_serial": "CAM-2", "device_family": "x", "device_public_key": public_key(), "binds_tokens": false});
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 201, "{answer}");
    let older = Camera { answer };
    let token = older.older_token(DerivationProfile::B);
    let question = json!({"camera_token": token, "commitment": commitment(1).to_string()});
    assert_eq!(stand.post("/validate", &question).await.1["valid"], true);
    stand.stop().await;
}

/// Each of these makes the authority believe somebody, or forget that it does not: what is changed,
/// what undoes it, and what the refusal names.
const CHANGES: [[&str; 3]; 9] = [
    [
        "UPDATE devices SET attested = TRUE WHERE serial = 'CAM-1'",
        "UPDATE devices SET attested = FALSE WHERE serial = 'CAM-1'",
        "camera CAM-1",
    ],
    [
        "UPDATE devices SET binds_tokens = FALSE WHERE serial = 'CAM-1'",
        "UPDATE devices SET binds_tokens = TRUE WHERE serial = 'CAM-1'",
        "camera CAM-1",
    ],
    [
        "UPDATE devices SET simulated_nuc = FALSE WHERE serial = 'CAM-1'",
        "UPDATE devices SET simulated_nuc = TRUE WHERE serial = 'CAM-1'",
        "camera CAM-1",
    ],
    [
        "UPDATE operators SET roles = 'read,revoke' WHERE name = 'anna'",
        "UPDATE operators SET roles = 'read' WHERE name = 'anna'",
        "operator anna",
    ],
    [
        "UPDATE operators SET revoked_at = NULL WHERE name = 'gone'",
        "UPDATE operators SET revoked_at = (SELECT s.revoked_at FROM saved_operators s WHERE s.name = operators.name)",
        "operator gone",
    ],
    [
        "UPDATE revocations SET lifted_at = 1, lifted_by = 'x' WHERE id = 1",
        "UPDATE revocations SET lifted_at = NULL, lifted_by = NULL WHERE id = 1",
        "revocation 1",
    ],
    [
        "DELETE FROM revocations WHERE id = 1",
        "INSERT INTO revocations SELECT * FROM saved_revocations",
        "`revocations`",
    ],
    [
        "UPDATE signing_keys SET retired_at = NULL WHERE retired_at IS NOT NULL",
        "UPDATE signing_keys SET retired_at = (SELECT s.retired_at FROM saved_signing_keys s WHERE s.key_id = signing_keys.key_id)",
        "verdict key",
    ],
    [
        "UPDATE signing_keys SET distrusted_from = NULL WHERE distrusted_from IS NOT NULL",
        "UPDATE signing_keys SET distrusted_from = (SELECT s.distrusted_from FROM saved_signing_keys s WHERE s.key_id = signing_keys.key_id)",
        "verdict key",
    ],
];

async fn execute(stand: &Stand, statement: &'static str) -> u64 {
    let store = Store::open(&stand.settings.database, 1).await.unwrap();
    let done = with_pool!(store.database(), pool => {
        sqlx::query(statement).execute(pool).await.unwrap().rows_affected()
    });
    store.close().await;
    done
}

async fn changed_from_outside(mut stand: Stand) {
    Camera::provision(&stand, "CAM-1").await;
    Camera::provision(&stand, "CAM-2").await;
    let create = |name: &'static str| ["token", "create", name, "--role", "read"];
    stand.command(&create("anna")).await.unwrap();
    stand.command(&create("gone")).await.unwrap();
    stand.command(&["token", "revoke", "gone"]).await.unwrap();
    let revoke = ["revoke", "--device", "CAM-2", "--reason", "stolen"];
    stand.command(&revoke).await.unwrap();
    let (_, keys) = stand.get("/api/v1/verdict-keys").await;
    let old = keys["keys"][0]["key_id"].as_str().unwrap().to_owned();
    stand.command(&["rotate-verdict-key"]).await.unwrap();
    stand.command(&["distrust", &old]).await.unwrap();
    stand.stop().await;
    for save in [
        "CREATE TABLE saved_operators AS SELECT * FROM operators",
        "CREATE TABLE saved_revocations AS SELECT * FROM revocations",
        "CREATE TABLE saved_signing_keys AS SELECT * FROM signing_keys",
    ] {
        execute(&stand, save).await;
    }
    for [change, undo, named] in CHANGES {
        assert_eq!(execute(&stand, change).await, 1, "{change}");
        let refusal = stand.refuses_to_start().await;
        assert!(
            refusal.contains("by another program"),
            "{change}: {refusal}"
        );
        assert!(refusal.contains(named), "{change}: {refusal}");
        execute(&stand, undo).await;
    }
    // As it was written it starts, and by the program this is a matter of settings: no restart
    // helps.
    stand.start().await;
    stand.stop().await;
}

#[tokio::test]
async fn a_row_that_was_changed_from_outside_stops_the_start() {
    changed_from_outside(Stand::sqlite().await).await;
}

#[tokio::test]
async fn a_row_that_was_changed_from_outside_stops_the_start_on_postgresql() {
    changed_from_outside(Stand::postgres().await).await;
}
