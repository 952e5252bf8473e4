//! Attested provisioning against a TPM emulator, and each way to cheat it.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, Proof, SignedVerdict, VerdictItem};
use birthmark_signer::Blob;
use birthmark_signer::tpm::{ChipAuth, Tpm};
use birthmark_sma::ca;
use birthmark_testkit::tpm::Swtpm;
use der::Encode;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use serde_json::{Value, json};

use crate::camera::{Camera, commitment};
use crate::stand::{Base, Stand};

/// A camera's chip with its signing and attestation keys.
pub struct ChipOf {
    pub tpm: Tpm,
    pub attestation_key: Blob,
    _emulator: Swtpm,
}

impl ChipOf {
    pub fn new(emulator: Swtpm) -> Self {
        let mut tpm = Tpm::new(
            emulator.tcti().parse().unwrap(),
            0x8102_0001,
            ChipAuth::from_credential(&[0x5a; 32]).unwrap(),
            None,
        );
        tpm.enrol().unwrap();
        let attestation_key = tpm.create_attestation_key().unwrap();
        Self {
            tpm,
            attestation_key,
            _emulator: emulator,
        }
    }

    /// As after a repair: a new signing key in the same chip.
    fn make_another_key(&mut self) {
        self.tpm = Tpm::new(
            self._emulator.tcti().parse().unwrap(),
            0x8102_0002,
            ChipAuth::from_credential(&[0x5a; 32]).unwrap(),
            None,
        );
        self.tpm.enrol().unwrap();
        self.attestation_key = self.tpm.create_attestation_key().unwrap();
    }

    pub fn attest(&mut self, nonce: &str) -> Evidence {
        let nonce: Digest = nonce.parse().unwrap();
        self.tpm
            .attest(&self.attestation_key, nonce.as_bytes())
            .unwrap()
    }

    pub fn activate(&mut self, credential: &Value) -> Result<String, String> {
        let credential: Credential = serde_json::from_value(credential.clone()).unwrap();
        self.tpm
            .activate(&self.attestation_key, &credential)
            .map(|secret| hex::encode(secret.as_slice()))
            .map_err(|error| error.to_string())
    }
}

pub fn trust(folder: &Path, emulator: &Swtpm, name: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for (place, pem) in emulator
        .endorsement_authorities()
        .unwrap()
        .iter()
        .enumerate()
    {
        std::fs::write(folder.join(format!("{name}-{place}.pem")), pem).unwrap();
    }
}

/// An authority that believes the makers of these emulators.
async fn stand(makers: &[&Swtpm]) -> (Stand, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (place, maker) in makers.iter().enumerate() {
        trust(folder.path(), maker, &place.to_string());
    }
    let stand = Stand::with(Base::Sqlite, |settings| {
        settings.provisioning.tpm_roots = Some(folder.path().to_owned());
        settings.provisioning.require_attestation = true;
    });
    (stand.await, folder)
}

pub async fn begin(stand: &Stand) -> String {
    let (status, answer) = stand.post("/api/v1/attestation/begin", &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    answer["nonce"].as_str().unwrap().to_owned()
}

pub async fn examine(stand: &Stand, nonce: &str, evidence: &Evidence) -> (u16, Value) {
    stand
        .post(
            "/api/v1/attestation/evidence",
            &json!({"nonce": nonce, "evidence": evidence}),
        )
        .await
}

/// What stands in the verdict of an answer.
fn item_of(answer: &Value) -> VerdictItem {
    let verdict = STANDARD.decode(answer["verdict"].as_str().unwrap());
    let signed = SignedVerdict::decode(&verdict.unwrap()).unwrap();
    signed.verdict.items()[0].clone()
}

pub fn request(session: &Value, secret: &str) -> Value {
    json!({"device_serial": "CAM-1", "device_family": "Test Camera", "attestation": {"session": session, "secret": secret, "seal_keys": false}})
}

async fn refused(stand: &Stand, nonce: &str, evidence: &Evidence, reason: &str) {
    let (status, answer) = examine(stand, nonce, evidence).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains(reason), "{answer}");
}

#[tokio::test]
async fn a_chip_enrols_once_and_a_token_alone_is_never_attested() {
    let emulator = Swtpm::start().unwrap();
    let (mut stand, _folder) = stand(&[&emulator]).await;
    let mut chip = ChipOf::new(emulator);
    let nonce = begin(&stand).await;
    let (status, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
    assert_eq!(status, 200, "{answer}");
    let secret = chip.activate(&answer["credential"]).unwrap();
    let (status, provisioned) = stand
        .post(
            "/api/v1/devices/provision",
            &request(&answer["session"], &secret),
        )
        .await;
    assert_eq!(
        (status, &provisioned["assurance"]),
        (201, &json!("attested")),
        "{provisioned}"
    );
    let camera = Camera {
        answer: provisioned,
    };
    assert_eq!(
        camera.certificate().key().p256(),
        Some(&chip.tpm.public_key().unwrap())
    );
    // The certificate says so, too.
    let policy = ca::ATTESTED.to_der().unwrap();
    let has = |camera: &Camera| {
        let der = camera.certificate().der().to_vec();
        der.windows(policy.len()).any(|window| window == policy)
    };
    assert!(has(&camera));
    let (_, answer) = stand.post("/validate", &json!({"camera_token": camera.token(&commitment(1)), "commitment": commitment(1).to_string()})).await;
    // A token alone is never attested, whatever is known about its camera: nobody knows who signed.
    assert_eq!(answer["assurance"], "token");
    assert_eq!(item_of(&answer).proof, Proof::Token);
    // A certificate is, and the verdict names its key: it says nothing to whoever cannot sign with
    // that key.
    let question = json!({
        "camera_cert": STANDARD.encode(camera.certificate().der()),
        "commitment": commitment(2).to_string(),
        "camera_token": camera.token(&commitment(2)),
    });
    let (_, answer) = stand.post("/validate-cert", &question).await;
    assert_eq!(answer["assurance"], "attested");
    let key = camera.certificate().key().digest();
    let attested = true;
    assert_eq!(item_of(&answer).proof, Proof::Certificate { key, attested });

    // One chip enrols one camera, unless an operator says otherwise; its key is certified once at
    // all.
    let nonce = begin(&stand).await;
    let (_, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
    let secret = chip.activate(&answer["credential"]).unwrap();
    let mut second = request(&answer["session"], &secret);
    second["device_serial"] = "CAM-2".into();
    let (status, refused) = stand.post("/api/v1/devices/provision", &second).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("same key"), "{refused}");
    chip.make_another_key();
    let nonce = begin(&stand).await;
    let (_, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
    let secret = chip.activate(&answer["credential"]).unwrap();
    let mut second = request(&answer["session"], &secret);
    second["device_serial"] = "CAM-2".into();
    let (status, refused) = stand.post("/api/v1/devices/provision", &second).await;
    assert_eq!(status, 409, "{refused}");
    let sentence = refused.to_string();
    assert!(
        sentence.contains("enrolled camera CAM-1 already"),
        "{sentence}"
    );
    stand.command(&["release-chip", "CAM-1"]).await.unwrap();
    let again = stand.command(&["release-chip", "CAM-1"]).await.unwrap_err();
    assert!(again.contains("no chip"), "{again}");

    // The master keys can also come sealed, so that only the chip's owner reads them.
    let nonce = begin(&stand).await;
    let (_, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
    let secret = chip.activate(&answer["credential"]).unwrap();
    let mut sealing = request(&answer["session"], &secret);
    sealing["device_serial"] = "CAM-3".into();
    sealing["attestation"]["seal_keys"] = true.into();
    let (status, sealed) = stand.post("/api/v1/devices/provision", &sealing).await;
    assert!(status == 201 && sealed["master_keys"].is_null(), "{sealed}");
    let keys = open_sealed(
        sealed["sealed_master_keys"].as_str().unwrap(),
        &secret,
        answer["session"].as_str().unwrap(),
    );
    assert!(
        sealed["table_assignments"]
            .as_array()
            .unwrap()
            .iter()
            .all(|table| keys[table.to_string()].is_string())
    );

    // Without an attestation nobody gets in here, and a session is good once.
    let (status, answer) = stand.post("/api/v1/devices/provision", &sealing).await;
    assert!(
        status == 422 && answer.to_string().contains("used or expired"),
        "{answer}"
    );
    let (status, answer) = stand.post("/api/v1/devices/provision", &json!({"device_serial": "CAM-2", "device_family": "x", "device_public_key": crate::camera::public_key()})).await;
    assert!(
        status == 422 && answer.to_string().contains("attestation"),
        "{answer}"
    );
    stand.stop().await;
}

/// What the owner of the chip does with sealed master keys.
fn open_sealed(text: &str, secret: &str, session: &str) -> Value {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(None, &hex::decode(secret).unwrap())
        .expand(b"birthmark/provisioning/v1", &mut key)
        .unwrap();
    let nonce: [u8; 12] = bytes[..12].try_into().unwrap();
    let payload = Payload {
        msg: &bytes[12..],
        aad: session.as_bytes(),
    };
    let plain = aes_gcm::Aes256Gcm::new(&key.into())
        .decrypt(&nonce.into(), payload)
        .unwrap();
    serde_json::from_slice(&plain).unwrap()
}

#[tokio::test]
async fn chips_of_strangers_and_borrowed_certificates_are_refused() {
    let (known, other_known, stranger) = (
        Swtpm::start().unwrap(),
        Swtpm::start().unwrap(),
        Swtpm::start().unwrap(),
    );
    let (mut stand, _folder) = stand(&[&known, &other_known]).await;
    let (mut one, mut other, mut stranger) = (
        ChipOf::new(known),
        ChipOf::new(other_known),
        ChipOf::new(stranger),
    );

    let nonce = begin(&stand).await;
    refused(
        &stand,
        &nonce,
        &stranger.attest(&nonce),
        "no maker this authority knows",
    )
    .await;

    // A stranger with the certificate of a known chip: about another key.
    let nonce = begin(&stand).await;
    let certificate = one.attest(&nonce).endorsement_certificate;
    let borrowed = Evidence {
        endorsement_certificate: certificate,
        ..stranger.attest(&nonce)
    };
    refused(&stand, &nonce, &borrowed, "about another key").await;

    // And with the key of that chip, too: the credential opens in that chip only.
    let nonce = begin(&stand).await;
    let genuine = one.attest(&nonce);
    let borrowed = Evidence {
        endorsement_certificate: genuine.endorsement_certificate,
        endorsement_key: genuine.endorsement_key,
        ..other.attest(&nonce)
    };
    let (status, answer) = examine(&stand, &nonce, &borrowed).await;
    assert_eq!(status, 200, "{answer}");
    assert!(
        other.activate(&answer["credential"]).is_err()
            && one.activate(&answer["credential"]).is_err()
    );
    let (status, refusal) = stand
        .post(
            "/api/v1/devices/provision",
            &request(&answer["session"], &"00".repeat(32)),
        )
        .await;
    assert!(
        status == 422 && refusal.to_string().contains("secret is wrong"),
        "{refusal}"
    );

    let without = Evidence {
        endorsement_certificate: None,
        ..one.attest(&nonce)
    };
    let nonce = begin(&stand).await;
    refused(
        &stand,
        &nonce,
        &Evidence {
            statement: one.attest(&nonce).statement,
            ..without
        },
        "",
    )
    .await;
    stand.stop().await;
}

/// Puts the point of a software key into a public area.
fn with_point_of(area: &[u8], key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..65]);
    let mut area = area.to_vec();
    let end = area.len();
    area[end - 66..end - 34].copy_from_slice(x);
    area[end - 32..].copy_from_slice(y);
    area
}

fn name_of(area: &[u8]) -> Vec<u8> {
    [&[0, 0x0B][..], Digest::of(area).as_bytes()].concat()
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(old.len())
        .position(|window| window == old)
        .unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[tokio::test]
async fn keys_in_software_replayed_nonces_and_free_attestation_keys_are_refused() {
    let emulator = Swtpm::start().unwrap();
    let (mut stand, _folder) = stand(&[&emulator]).await;
    let mut chip = ChipOf::new(emulator);
    let software = SigningKey::from_slice(&[7; 32]).unwrap();

    // The statement is about the chip's key, not about the one in software.
    let nonce = begin(&stand).await;
    let genuine = chip.attest(&nonce);
    let forged = Evidence {
        signing_key: with_point_of(&genuine.signing_key, &software),
        ..genuine
    };
    refused(&stand, &nonce, &forged, "another key than the signing key").await;

    // A statement forged to be about it is not signed by the chip.
    let nonce = begin(&stand).await;
    let genuine = chip.attest(&nonce);
    let signing_key = with_point_of(&genuine.signing_key, &software);
    let statement = replaced(
        &genuine.statement,
        &name_of(&genuine.signing_key),
        &name_of(&signing_key),
    );
    let forged = Evidence {
        signing_key: signing_key.clone(),
        statement: statement.clone(),
        ..genuine.clone()
    };
    refused(&stand, &nonce, &forged, "signature does not hold").await;

    // Signed by an attestation key in software it holds, but no chip opens the credential for that
    // key.
    let nonce = begin(&stand).await;
    let genuine = chip.attest(&nonce);
    let statement = replaced(
        &genuine.statement,
        &name_of(&genuine.signing_key),
        &name_of(&signing_key),
    );
    let signature: p256::ecdsa::DerSignature = software.sign(&statement);
    let attestation_key = with_point_of(&genuine.attestation_key, &software);
    let forged = Evidence {
        signing_key,
        statement,
        attestation_key,
        signature: signature.as_bytes().to_vec(),
        ..genuine
    };
    let (status, answer) = examine(&stand, &nonce, &forged).await;
    assert_eq!(status, 200, "{answer}");
    assert!(chip.activate(&answer["credential"]).is_err());
    let (status, refusal) = stand
        .post(
            "/api/v1/devices/provision",
            &request(&answer["session"], &"11".repeat(32)),
        )
        .await;
    assert!(
        status == 422 && refusal.to_string().contains("secret is wrong"),
        "{refusal}"
    );

    // A nonce is good once, and evidence for one nonce is none for another.
    let nonce = begin(&stand).await;
    let evidence = chip.attest(&nonce);
    assert_eq!(examine(&stand, &nonce, &evidence).await.0, 200);
    refused(&stand, &nonce, &evidence, "unknown, used or expired").await;
    let next = begin(&stand).await;
    refused(&stand, &next, &evidence, "another challenge").await;

    // An attestation key that is not restricted could sign statements the chip never made.
    let nonce = begin(&stand).await;
    let mut free = chip.attest(&nonce);
    free.attestation_key[5] &= !1;
    refused(&stand, &nonce, &free, "not a restricted signing key").await;
    stand.stop().await;
}

/// A chip goes through a renewal from the beginning, as somebody elsewhere without a token.
async fn renewed(stand: &Stand, chip: &mut ChipOf) -> (u16, Value) {
    let nothing = json!({});
    let (status, answer) = stand
        .post_from_elsewhere("/api/v1/renewal/begin", &nothing)
        .await;
    assert_eq!(status, 200, "{answer}");
    let nonce = answer["nonce"].as_str().unwrap();
    let shown = json!({"nonce": nonce, "evidence": chip.attest(nonce)});
    let (status, answer) = stand
        .post_from_elsewhere("/api/v1/renewal/evidence", &shown)
        .await;
    assert_eq!(status, 200, "{answer}");
    let secret = chip.activate(&answer["credential"]).unwrap();
    let proven = json!({"session": answer["session"], "secret": secret});
    let path = "/api/v1/renewal/certificate";
    stand.post_from_elsewhere(path, &proven).await
}

/// Lets a camera's certificates end sooner, as the authority remembers them.
async fn end_after(stand: &Stand, seconds: i64) {
    let store = birthmark_sma::store::Store::open(&stand.settings.database, 1).await;
    let store = store.unwrap();
    let end = birthmark_sma::clock::now().unix() + seconds;
    birthmark_http::with_pool!(store.database(), pool => {
        sqlx::query("UPDATE certificates SET expires_at = $1").bind(end).execute(pool).await.unwrap();
    });
    store.close().await;
}

async fn is_believed(stand: &Stand, certificate: &str) -> bool {
    let certificate =
        birthmark_protocol::CameraCertificate::from_pem_or_der(certificate.as_bytes());
    let question = json!({
        "camera_cert": STANDARD.encode(certificate.unwrap().der()),
        "commitment": commitment(7).to_string(),
    });
    let (_, answer) = stand.post("/validate-cert", &question).await;
    answer["valid"] == true && answer["assurance"] == "attested"
}

#[tokio::test]
async fn a_chip_has_its_camera_s_certificate_renewed_and_the_former_one_stays_good() {
    let emulator = Swtpm::start().unwrap();
    let (mut stand, _folder) = stand(&[&emulator]).await;
    // Three tests of a story ask more often than a stranger may in a second.
    stand.stop().await;
    stand.settings.limits.public_questions_per_second = 0;
    stand.settings.limits.requests_per_second = 0;
    stand.start().await;
    let mut chip = ChipOf::new(emulator);
    let (status, refused) = renewed(&stand, &mut chip).await;
    assert_eq!(status, 404, "{refused}");
    assert!(
        refused.to_string().contains("no camera was enrolled"),
        "{refused}"
    );

    let nonce = begin(&stand).await;
    let (_, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
    let secret = chip.activate(&answer["credential"]).unwrap();
    let provision = request(&answer["session"], &secret);
    let (status, first) = stand.post("/api/v1/devices/provision", &provision).await;
    assert_eq!(status, 201, "{first}");
    let first = first["device_certificate"].as_str().unwrap().to_owned();

    // Long before its end the present one is given again, as often as an answer is lost.
    for _ in 0..2 {
        let (status, same) = renewed(&stand, &mut chip).await;
        assert_eq!(
            (status, &same["device_certificate"]),
            (200, &json!(first)),
            "{same}"
        );
        assert_eq!(same["device_serial"], "CAM-1");
        assert_eq!(same["is_new"], false);
        assert!(same["master_keys"].is_null(), "{same}");
    }

    end_after(&stand, 60).await;
    let (status, answer) = renewed(&stand, &mut chip).await;
    assert_eq!(status, 200, "{answer}");
    let second = answer["device_certificate"].as_str().unwrap().to_owned();
    let read = |pem: &str| {
        let read = birthmark_protocol::CameraCertificate::from_pem_or_der(pem.as_bytes());
        read.unwrap()
    };
    let (former, present) = (read(&first), read(&second));
    assert_eq!(former.key(), present.key());
    assert_ne!(former.serial(), present.serial());
    assert!(present.validity().1 >= former.validity().1);
    assert_eq!(answer["not_after"], present.validity().1.unix());
    assert_eq!(
        answer["is_new"], true,
        "even within the second of the first"
    );
    // Photos that waited come with the former one.
    for _ in 0..2 {
        assert!(is_believed(&stand, &first).await && is_believed(&stand, &second).await);
        stand.stop().await;
        stand.start().await;
    }

    // A certificate that has ended is renewed as well: a camera may have been offline for years.
    end_after(&stand, -86_400).await;
    let (status, answer) = renewed(&stand, &mut chip).await;
    let third = answer["device_certificate"].as_str().unwrap().to_owned();
    assert!(status == 200 && third != second, "{answer}");
    assert!(is_believed(&stand, &second).await && is_believed(&stand, &third).await);
    assert!(!is_believed(&stand, &first).await, "two certificates ago");

    // Revoked by its former certificate's number: no new one gets it out of that.
    let number = hex::encode(read(&second).serial());
    let scope = [
        "revoke",
        "--certificates",
        &format!("{number}..{number}"),
        "--reason",
        "a test",
    ];
    stand.command(&scope).await.unwrap();
    let (status, refused) = renewed(&stand, &mut chip).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("revoked"), "{refused}");
    assert!(!is_believed(&stand, &third).await);

    // Another key of the same chip is another camera's matter.
    chip.make_another_key();
    let (status, refused) = renewed(&stand, &mut chip).await;
    assert_eq!(status, 404, "{refused}");
    stand.stop().await;
}
