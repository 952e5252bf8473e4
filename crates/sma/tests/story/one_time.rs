//! One-time keys: signed without being seen, counted, and refused to whoever brings one that is in
//! no chip.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_blind::EpochVerifier;
use birthmark_protocol::attestation::PublicArea;
use birthmark_protocol::one_time::batch::{
    self, BatchOpening, BlindingSeed, Opened, OpenedKey, blinded_digest, chosen, opened_digest,
    opening_nonce, request_digest,
};
use birthmark_protocol::one_time::{EpochKey, EpochStatement, SignedEpochStatement, key_name};
use birthmark_protocol::{Digest, PublicKey, Signature};
use birthmark_signer::Blob;
use birthmark_sma::settings::OneTime;
use birthmark_testkit::tpm::Swtpm;
use p256::ecdsa::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::attested::{ChipOf, begin, examine, request, trust};
use crate::camera::Camera;
use crate::stand::{Base, Stand};

const FAMILY: &str = "Test Camera";

/// An attested camera of an authority that gives one-time keys.
struct Owner {
    stand: Stand,
    chip: ChipOf,
    certificate: String,
    epoch: EpochKey,
    _makers: TempDir,
}

/// A key that a camera wants signed.
struct Wanted {
    key: PublicKey,
    blob: Blob,
    seed: BlindingSeed,
}

/// What a camera sends, and what it knows about it.
struct Batch {
    wanted: Vec<Wanted>,
    blinded: Vec<u8>,
    digest: Digest,
}

impl Owner {
    async fn new(base: Base, keys_per_epoch: u32) -> Self {
        let (emulator, makers) = (Swtpm::start().unwrap(), tempfile::tempdir().unwrap());
        trust(makers.path(), &emulator, "maker");
        let stand = Stand::with(base, |settings| {
            settings.provisioning.tpm_roots = Some(makers.path().to_owned());
            settings.one_time = Some(OneTime {
                keys_per_epoch,
                ..OneTime::default()
            });
        });
        let stand = stand.await;
        let mut chip = ChipOf::new(emulator);
        let nonce = begin(&stand).await;
        let (_, answer) = examine(&stand, &nonce, &chip.attest(&nonce)).await;
        let secret = chip.activate(&answer["credential"]).unwrap();
        let asked = request(&answer["session"], &secret);
        let (status, answer) = stand.post("/api/v1/devices/provision", &asked).await;
        assert_eq!(status, 201, "{answer}");
        let certificate = Camera { answer }.certificate_base64();
        stand
            .command(&["epoch", "new", "--family", FAMILY])
            .await
            .unwrap();
        let epoch = statements(&stand)
            .await
            .into_iter()
            .find_map(key_of)
            .unwrap();
        Self {
            stand,
            chip,
            certificate,
            epoch,
            _makers: makers,
        }
    }

    fn verifier(&self) -> EpochVerifier {
        EpochVerifier::from_modulus(&self.epoch.modulus).unwrap()
    }

    fn sign(&mut self, digest: &Digest) -> String {
        STANDARD.encode(self.chip.tpm.sign(digest).unwrap().to_der())
    }

    /// Keys of the chip, `2n` of them.
    fn batch(&mut self, keys: usize) -> Batch {
        let blobs = (0..keys).map(|_| self.chip.tpm.create_one_time_key().unwrap());
        let blobs: Vec<_> = blobs.collect();
        self.batch_of(blobs)
    }

    fn batch_of(&mut self, blobs: Vec<Blob>) -> Batch {
        let wanted = blobs.into_iter().map(|blob| {
            let area = PublicArea::parse("key", &blob.public).unwrap();
            Wanted {
                key: area.p256().unwrap(),
                blob,
                seed: BlindingSeed::from_bytes(birthmark_sma::random::bytes().unwrap()),
            }
        });
        let wanted: Vec<_> = wanted.collect();
        let (verifier, id) = (self.verifier(), self.epoch.id());
        let blinded: Vec<u8> = wanted
            .iter()
            .flat_map(|one| verifier.blind(&key_name(&id, &one.key), &one.seed).unwrap())
            .collect();
        Batch {
            wanted,
            digest: blinded_digest(&blinded),
            blinded,
        }
    }

    async fn begin(&mut self, batch: &Batch) -> (u16, Value) {
        let asked = request_digest(&self.epoch.id(), &batch.digest);
        let signature = self.sign(&asked);
        let body = json!({
            "camera_cert": self.certificate, "epoch": self.epoch.epoch,
            "blinded": STANDARD.encode(&batch.blinded), "signature": signature,
        });
        self.stand.post("/api/v1/one-time/begin", &body).await
    }

    async fn challenge(&mut self, batch: &Batch) -> [u8; 32] {
        let (status, answer) = self.begin(batch).await;
        assert_eq!(status, 200, "{answer}");
        let text = answer["challenge"].as_str().unwrap();
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn open(&mut self, batch: &Batch, challenge: &[u8; 32]) -> Vec<Opened> {
        let nonce = opening_nonce(challenge, &batch.digest);
        let positions = chosen(challenge, &batch.digest, batch.wanted.len()).unwrap();
        let opened = positions.into_iter().map(|position| {
            let one = &batch.wanted[usize::from(position)];
            let tpm = &mut self.chip.tpm;
            let said =
                tpm.certify_one_time_key(&self.chip.attestation_key, &one.blob, nonce.as_bytes());
            let (statement, signature) = said.unwrap();
            Opened {
                seed: one.seed.clone(),
                public: one.blob.public.clone(),
                statement,
                signature,
            }
        });
        opened.collect()
    }

    async fn answer(
        &mut self,
        batch: &Batch,
        challenge: &[u8; 32],
        opened: &[Opened],
    ) -> (u16, Value) {
        let signed = opened_digest(challenge, &batch.digest, opened);
        let positions = chosen(challenge, &batch.digest, batch.wanted.len()).unwrap();
        let left = batch::split(&batch.blinded).unwrap().iter().zip(0_u16..);
        let left = left.filter(|(_, position)| !positions.contains(position));
        let left: Vec<u8> = left.flat_map(|(blinded, _)| *blinded).collect();
        let body = BatchOpening {
            camera_cert: self.certificate.clone(),
            epoch: self.epoch.epoch,
            challenge: hex::encode(challenge),
            opened: opened.iter().map(OpenedKey::from).collect(),
            blinded: STANDARD.encode(left),
            signature: self.sign(&signed),
        };
        let body = serde_json::to_value(&body).unwrap();
        self.stand.post("/api/v1/one-time/open", &body).await
    }
}

async fn statements(stand: &Stand) -> Vec<SignedEpochStatement> {
    let (status, answer) = stand.get("/api/v1/epochs").await;
    assert_eq!(status, 200, "{answer}");
    let texts = answer["statements"].as_array().unwrap().iter();
    let read = texts.map(|text| {
        let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
        SignedEpochStatement::decode(&bytes).unwrap()
    });
    read.collect()
}

fn key_of(signed: SignedEpochStatement) -> Option<EpochKey> {
    match signed.statement {
        EpochStatement::Key(key) => Some(key),
        _ => None,
    }
}

async fn issued(stand: &Stand) -> i64 {
    let list = stand.command(&["epoch", "list"]).await.unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    list[0]["issued"].as_i64().unwrap()
}

async fn keys_are_signed_unseen(base: Base) {
    let mut owner = Owner::new(base, 100).await;
    let batch = owner.batch(8);
    let challenge = owner.challenge(&batch).await;
    // Whoever does not like a challenge gets no other one: not for the same keys, and not for
    // others.
    assert_eq!(owner.challenge(&batch).await, challenge);
    let other = owner.batch(2);
    let (status, answer) = owner.begin(&other).await;
    assert_eq!(status, 409, "{answer}");

    let opened = owner.open(&batch, &challenge);
    let (status, answer) = owner.answer(&batch, &challenge, &opened).await;
    assert_eq!(status, 200, "{answer}");
    let signatures = STANDARD
        .decode(answer["signatures"].as_str().unwrap())
        .unwrap();
    let positions = chosen(&challenge, &batch.digest, 8).unwrap();
    let left = batch.wanted.iter().zip(0_u16..);
    let left: Vec<_> = left
        .filter(|(_, position)| !positions.contains(position))
        .map(|(wanted, _)| wanted)
        .collect();
    let signatures = batch::split(&signatures).unwrap();
    assert_eq!((signatures.len(), left.len()), (4, 4));
    for (one, blind) in left.iter().zip(signatures) {
        let name = key_name(&owner.epoch.id(), &one.key);
        let signature = owner.verifier().unblind(&name, &one.seed, blind).unwrap();
        assert_eq!(owner.verifier().verify(&name, &signature), Ok(()));
        // And the key signs a photo.
        let photo = Digest::of(b"photo");
        let signed = owner.chip.tpm.sign_once(&one.blob, &photo).unwrap();
        assert_eq!(one.key.verify_digest(&photo, &signed), Ok(()));
    }
    assert_eq!(
        owner.chip.tpm.volatile_handles().unwrap(),
        2,
        "nothing leaks in the chip"
    );
    assert_eq!(issued(&owner.stand).await, 4);

    // An answer that was lost is given again, and counted once; across a restart, too.
    owner.stand.stop().await;
    owner.stand.start().await;
    let (status, again) = owner.answer(&batch, &challenge, &opened).await;
    assert_eq!((status, &again), (200, &answer));
    assert_eq!(issued(&owner.stand).await, 4);
    owner.stand.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_signed_unseen_and_counted_once() {
    keys_are_signed_unseen(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_signed_unseen_and_counted_once_on_postgres() {
    use birthmark_testkit::postgres::Postgres;
    keys_are_signed_unseen(Base::Postgres(Postgres::start().unwrap())).await;
}

/// A key of software: a blob whose public area says what the chip's say, and no chip has it.
fn soft_key(like: &Blob) -> Blob {
    let secret: [u8; 32] = birthmark_sma::random::bytes().unwrap();
    let key = PublicKey::from(*SigningKey::from_slice(&secret).unwrap().verifying_key());
    let mut public = like.public.clone();
    let point = key.to_sec1();
    let at = public.len() - 68;
    // The unique field: two lengths of 32, each with its coordinate.
    public[at + 2..at + 34].copy_from_slice(&point[1..33]);
    public[at + 36..].copy_from_slice(&point[33..]);
    Blob {
        public,
        ..like.clone()
    }
}

/// A software key among those of the chip is opened with a probability of one half. Here both of
/// two are, so that one is opened for certain.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_in_no_chip_ends_the_enrolment() {
    let mut owner = Owner::new(Base::Sqlite, 100).await;
    let honest = owner.chip.tpm.create_one_time_key().unwrap();
    let soft = vec![soft_key(&honest), soft_key(&honest)];
    let batch = owner.batch_of(soft);
    let challenge = owner.challenge(&batch).await;
    // The best it can do: the chip's statement about another key.
    let nonce = opening_nonce(&challenge, &batch.digest);
    let ak = owner.chip.attestation_key.clone();
    let tpm = &mut owner.chip.tpm;
    let (statement, signature) = tpm
        .certify_one_time_key(&ak, &honest, nonce.as_bytes())
        .unwrap();
    let position = chosen(&challenge, &batch.digest, 2).unwrap()[0];
    let one = &batch.wanted[usize::from(position)];
    let opened = [Opened {
        seed: one.seed.clone(),
        public: one.blob.public.clone(),
        statement,
        signature,
    }];
    let (status, answer) = owner.answer(&batch, &challenge, &opened).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("about another key"), "{answer}");
    // For good: also with keys that are the chip's.
    let batch = owner.batch(2);
    let (status, answer) = owner.begin(&batch).await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer.to_string().contains("no one-time keys any more"),
        "{answer}"
    );
    assert_eq!(issued(&owner.stand).await, 0);
}

/// Nobody but the camera can fail in its name: openings that its key did not sign end nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_end_an_enrolment() {
    let mut owner = Owner::new(Base::Sqlite, 100).await;
    let batch = owner.batch(2);
    let challenge = owner.challenge(&batch).await;
    let opened = owner.open(&batch, &challenge);
    let stranger = SigningKey::from_slice(&[9; 32]).unwrap();
    let digest = opened_digest(&challenge, &batch.digest, &[]);
    let forged: p256::ecdsa::Signature =
        p256::ecdsa::signature::hazmat::PrehashSigner::sign_prehash(&stranger, digest.as_bytes())
            .unwrap();
    let body = json!({
        "camera_cert": owner.certificate, "epoch": owner.epoch.epoch, "challenge": hex::encode(challenge),
        "opened": [], "blinded": "", "signature": STANDARD.encode(Signature::from(forged).to_der()),
    });
    let (status, answer) = owner.stand.post("/api/v1/one-time/open", &body).await;
    assert_eq!(status, 422, "{answer}");
    let (status, answer) = owner.answer(&batch, &challenge, &opened).await;
    assert_eq!(status, 200, "{answer}");
}

/// A card that broke in the middle of a batch takes its keys along. Nobody can answer for them any
/// more, and the camera must not be without keys for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_lost_is_over_with_its_epoch() {
    let mut owner = Owner::new(Base::Sqlite, 100).await;
    let lost = owner.batch(2);
    owner.challenge(&lost).await;
    let second = owner.batch(2);
    let (status, answer) = owner.begin(&second).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains("end of its epoch"), "{answer}");
    // As if it had been for the epoch before.
    let database = sqlx::SqlitePool::connect(&owner.stand.settings.database);
    let database = database.await.unwrap();
    let earlier = "UPDATE one_time_batches SET epoch = epoch - 1";
    sqlx::query(earlier).execute(&database).await.unwrap();
    let challenge = owner.challenge(&second).await;
    let opened = owner.open(&second, &challenge);
    let (status, answer) = owner.answer(&second, &challenge, &opened).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_gets_no_more_keys_than_it_may_and_none_of_a_withdrawn_epoch() {
    let mut owner = Owner::new(Base::Sqlite, 3).await;
    let batch = owner.batch(4);
    let challenge = owner.challenge(&batch).await;
    let opened = owner.open(&batch, &challenge);
    let (status, answer) = owner.answer(&batch, &challenge, &opened).await;
    assert_eq!(status, 200, "{answer}");
    let second = owner.batch(4);
    let (status, answer) = owner.begin(&second).await;
    assert_eq!(status, 429, "{answer}");
    let withdraw = ["epoch", "withdraw", "--family", FAMILY];
    owner.stand.command(&withdraw).await.unwrap();
    let one = owner.batch(2);
    let (status, answer) = owner.begin(&one).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("withdrawn"), "{answer}");
    let stated = statements(&owner.stand).await;
    let is_withdrawal =
        |signed: &SignedEpochStatement| matches!(signed.statement, EpochStatement::Withdrawal(_));
    assert!(stated.iter().any(is_withdrawal));
    // Withdrawn once is enough.
    let again = owner.stand.command(&withdraw).await.unwrap_err();
    assert!(again.contains("withdrawn already"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_without_a_chip_gets_none() {
    let owner = Owner::new(Base::Sqlite, 10).await;
    let camera = Camera::provision(&owner.stand, "CAM-SOFT").await;
    let body = json!({
        "camera_cert": camera.certificate_base64(), "epoch": owner.epoch.epoch, "blinded": "", "signature": "",
    });
    let (status, answer) = owner.stand.post("/api/v1/one-time/begin", &body).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("chip attested"), "{answer}");
}

#[tokio::test]
async fn an_authority_without_the_setting_gives_none() {
    let stand = Stand::sqlite().await;
    assert_eq!(stand.get("/api/v1/epochs").await.0, 404);
    let error = stand
        .command(&["epoch", "new", "--family", FAMILY])
        .await
        .unwrap_err();
    assert!(error.contains("one_time"), "{error}");
}
