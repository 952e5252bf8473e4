//! One-time keys in an emulated chip: signed by an authority that never sees them, each used once,
//! whatever happens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_blind::{EpochSecret, EpochVerifier};
use birthmark_daemon::clock;
use birthmark_protocol::attestation::PublicArea;
use birthmark_protocol::one_time::batch::{
    self, blinded_digest, chosen, opened_digest, opening_nonce, request_digest,
};
use birthmark_protocol::one_time::{
    EpochKey, EpochStatement, RsaBytes, SignedEpochStatement, key_name,
};
use birthmark_protocol::{CameraCertificate, Digest, PublicKey, Signature, Timestamp};
use birthmark_signer::{SignerClient, SignerRefusal};
use birthmark_testkit::tpm::Swtpm;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;

use crate::daemon::{bundle, provision, refusal};
use crate::running::{Place, Running};

const FAMILY: &str = "Raspberry Pi";
const KEYS: usize = 8;

/// An authority with an epoch that lasts.
struct Authority {
    secret: EpochSecret,
    epoch: EpochKey,
    statement: Vec<u8>,
}

impl Authority {
    fn new(number: u32, begins_in: i64) -> Self {
        let vectors = include_str!("../../../../spec/vectors/one-time.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let der = hex::decode(vectors["cases"][0]["rsa_secret"].as_str().unwrap()).unwrap();
        let secret = EpochSecret::from_der(&der).unwrap();
        let from = Timestamp::from_unix(clock::seconds()).plus(begins_in);
        let epoch = EpochKey {
            authority: "test-maker".into(),
            family: FAMILY.into(),
            time: from,
            epoch: number,
            from,
            until: from.plus(86_400),
            grace: 3600,
            is_made_up: false,
            modulus: *secret.modulus(),
        };
        let statement = EpochStatement::Key(epoch.clone());
        let key = SigningKey::from_slice(&[5; 32]).unwrap();
        let signature: p256::ecdsa::Signature =
            key.sign_prehash(statement.digest().as_bytes()).unwrap();
        let signed = SignedEpochStatement {
            signature: Signature::from(signature).normalized(),
            statement,
        };
        Self {
            secret,
            epoch,
            statement: signed.encode(),
        }
    }
}

fn signed_by(secret: &EpochSecret, blinded: &[u8]) -> String {
    let signed = secret.sign(batch::split(blinded).unwrap()).unwrap();
    STANDARD.encode(signed.concat())
}

async fn drafts(client: &mut SignerClient, authority: &Authority, keys: usize) {
    let mut calls = 0;
    while client.draft_keys(&authority.statement, keys).await.unwrap() < keys {
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls > 0, "a few at a time: a shutter may be waiting");
}

struct Stage {
    place: Place,
    running: Running,
    client: SignerClient,
    attestation_key: PublicArea,
    emulator: Swtpm,
}

async fn stage() -> Stage {
    let emulator = Swtpm::start().unwrap();
    let place = Place::with_tpm(&emulator, "", "");
    let running = place.start();
    let mut client = place.client().await;
    provision(&mut client).await;
    let evidence = client.attest(&[7; 32]).await.unwrap();
    let attestation_key = PublicArea::parse("attestation key", &evidence.attestation_key).unwrap();
    Stage {
        place,
        running,
        client,
        attestation_key,
        emulator,
    }
}

/// Everything up to the signatures; challenge, and the blinded keys that were not opened.
async fn opened(stage: &mut Stage, authority: &Authority) -> (String, Vec<u8>) {
    let client = &mut stage.client;
    let request = client.batch_request(authority.epoch.epoch).await.unwrap();
    let blinded = STANDARD.decode(&request.blinded).unwrap();
    let digest = blinded_digest(&blinded);
    let certificate = STANDARD.decode(&request.camera_cert).unwrap();
    let certificate = CameraCertificate::from_der(&certificate).unwrap();
    let holds = |digest: &Digest, signature: &str| {
        let signature = Signature::from_der(&STANDARD.decode(signature).unwrap()).unwrap();
        let key = certificate.key().p256().unwrap();
        key.verify_digest(digest, &signature).is_ok()
    };
    assert!(holds(
        &request_digest(&authority.epoch.id(), &digest),
        &request.signature
    ));

    let challenge = [9; 32];
    let text = hex::encode(challenge);
    let answer = loop {
        let answer = client.answer_challenge(authority.epoch.epoch, &text).await;
        if let Some(answer) = answer.unwrap() {
            break answer;
        }
    };
    let nonce = opening_nonce(&challenge, &digest);
    let read: Vec<_> = answer
        .opened
        .iter()
        .map(|one| one.read().unwrap())
        .collect();
    assert!(holds(
        &opened_digest(&challenge, &digest, &read),
        &answer.signature
    ));
    let verifier = EpochVerifier::from_modulus(&authority.epoch.modulus).unwrap();
    let positions = chosen(&challenge, &digest, KEYS).unwrap();
    assert_eq!(read.len(), KEYS / 2);
    for (one, position) in read.iter().zip(&positions) {
        let key = one.key(&stage.attestation_key, &nonce).unwrap();
        let name = key_name(&authority.epoch.id(), &key);
        let sent = batch::split(&blinded).unwrap()[usize::from(*position)];
        assert_eq!(verifier.blind(&name, &one.seed).unwrap(), sent);
    }
    (text, STANDARD.decode(&answer.blinded).unwrap())
}

#[tokio::test]
async fn keys_are_made_signed_unseen_and_each_signs_once() {
    let authority = Authority::new(3, -3600);
    let mut stage = stage().await;
    drafts(&mut stage.client, &authority, KEYS).await;
    let (challenge, left) = opened(&mut stage, &authority).await;

    // A power cut in the middle: the same batch, the same answer.
    stage.running.kill();
    stage.running = stage.place.start();
    stage.client = stage.place.client().await;
    let (_, again) = opened(&mut stage, &authority).await;
    assert_eq!(again, left);

    // An authority that marks this camera with a key of its own.
    let marking = EpochSecret::generate().unwrap();
    let mut small = left.clone();
    // In the range of the other key, too.
    small.chunks_mut(256).for_each(|one| one[0] = 0);
    let marked = signed_by(&marking, &small);
    let client = &mut stage.client;
    let refused = refusal(client.take_signatures(3, &challenge, &marked).await);
    assert!(
        refused.to_string().contains("not by this epoch's key"),
        "{refused}"
    );

    let signatures = signed_by(&authority.secret, &left);
    let ready = client.take_signatures(3, &challenge, &signatures).await;
    assert_eq!(ready.unwrap(), KEYS / 2);
    let stock = client.one_time_stock().await.unwrap();
    assert_eq!((stock[0].drafts, stock[0].ready), (0, (KEYS / 2) as i64));

    let verifier = EpochVerifier::from_modulus(&authority.epoch.modulus).unwrap();
    let mut keys: Vec<PublicKey> = Vec::new();
    for photo in 0..KEYS / 2 {
        let claims = bundle(&format!("photo {photo}"));
        let sent = client.sign_once(&claims, None).await.unwrap();
        let name = sent.proof.name(&authority.epoch.id());
        let key_signature: RsaBytes = sent.proof.key_signature;
        assert_eq!(verifier.verify(&name, &key_signature), Ok(()));
        let digest = claims.digest(None).unwrap();
        assert!(
            sent.proof
                .key
                .verify_digest(&digest, &sent.proof.signature)
                .is_ok()
        );
        assert!(!keys.contains(&sent.proof.key), "a key signs once");
        keys.push(sent.proof.key);
        // Whatever the power does: what was used stays used.
        stage.running.kill();
        stage.running = stage.place.start();
        *client = stage.place.client().await;
    }
    let none = refusal(client.sign_once(&bundle("one too many"), None).await);
    assert!(matches!(none, SignerRefusal::NoOneTimeKeys { .. }));
    // Nothing silently weaker: the certificate is used only by whoever asks for it.
    assert!(
        client
            .sign_bundle(&bundle("one too many"), None)
            .await
            .is_ok()
    );
    // The same epoch gives another batch.
    drafts(client, &authority, KEYS).await;
    let (challenge, left) = opened(&mut stage, &authority).await;
    let client = &mut stage.client;
    let signatures = signed_by(&authority.secret, &left);
    let ready = client.take_signatures(3, &challenge, &signatures).await;
    assert_eq!(ready.unwrap(), KEYS / 2);
    for photo in 0..KEYS / 2 {
        let claims = bundle(&format!("later photo {photo}"));
        let sent = client.sign_once(&claims, None).await.unwrap();
        assert!(!keys.contains(&sent.proof.key), "a key signs once");
        keys.push(sent.proof.key);
    }
    // Of the keys nothing is left on the disk.
    let left = walk(&stage.place.state().join("one-time"));
    assert!(
        left.iter().all(|file| file.ends_with("epoch.json")),
        "{left:?}"
    );
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused_by_name() {
    let authority = Authority::new(3, -3600);
    let mut stage = stage().await;
    let client = &mut stage.client;
    let none = refusal(client.batch_request(3).await);
    assert!(none.to_string().contains("has no keys"), "{none}");
    let odd = refusal(client.draft_keys(&authority.statement, 3).await);
    assert!(odd.to_string().contains("even number"), "{odd}");
    let cut = authority.statement.split_at(100).0;
    let cut = refusal(client.draft_keys(cut, 2).await);
    assert!(cut.to_string().contains("statement"), "{cut}");
    client.draft_keys(&authority.statement, 2).await.unwrap();
    // Another key for the same epoch is what an authority would need to mark this camera.
    let other = Authority::new(3, -7200);
    let other = refusal(client.draft_keys(&other.statement, 2).await);
    assert!(other.to_string().contains("another one"), "{other}");
    let short = refusal(
        client
            .take_signatures(3, &hex::encode([1; 32]), "AAAA")
            .await,
    );
    assert!(short.to_string().contains("cut off"), "{short}");
}

#[tokio::test]
async fn keys_of_an_epoch_that_has_not_begun_wait_and_those_of_one_that_is_over_are_destroyed() {
    let mut stage = stage().await;
    let later = Authority::new(4, 3600);
    drafts(&mut stage.client, &later, KEYS).await;
    let (challenge, left) = opened(&mut stage, &later).await;
    let signatures = signed_by(&later.secret, &left);
    let client = &mut stage.client;
    client
        .take_signatures(4, &challenge, &signatures)
        .await
        .unwrap();
    let early = refusal(client.sign_once(&bundle("early"), None).await);
    assert!(matches!(early, SignerRefusal::NoOneTimeKeys { .. }));
    let over = Authority::new(2, -90_000);
    client.draft_keys(&over.statement, 2).await.unwrap();
    let stock = client.one_time_stock().await.unwrap();
    assert_eq!(stock.len(), 1, "{stock:?}");
    assert_eq!(stock[0].ready, (KEYS / 2) as i64);
    assert!(!stage.place.state().join("one-time/2").exists());
}

/// A chip that does not answer uses nothing up: however often it is asked, the keys are there when
/// it answers again.
#[tokio::test]
async fn a_chip_that_is_away_uses_up_no_key() {
    let authority = Authority::new(3, -3600);
    let mut stage = stage().await;
    drafts(&mut stage.client, &authority, KEYS).await;
    let (challenge, left) = opened(&mut stage, &authority).await;
    let signatures = signed_by(&authority.secret, &left);
    let client = &mut stage.client;
    let ready = client.take_signatures(3, &challenge, &signatures).await;
    assert_eq!(ready.unwrap(), KEYS / 2);
    stage.emulator.stop();
    for _ in 0..KEYS {
        let away = client.sign_once(&bundle("away"), None).await;
        assert!(away.is_err());
    }
    stage.emulator.resume().unwrap();
    for photo in 0..KEYS / 2 {
        let claims = bundle(&format!("photo {photo}"));
        client.sign_once(&claims, None).await.unwrap();
    }
}
