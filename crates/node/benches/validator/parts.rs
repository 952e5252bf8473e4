//! The parts the whole is compared with, and what it is filled with.

use std::path::Path;
use std::time::Instant;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_consensus::{Pacing, SingleValidator, Step};
use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_ledger::{
    Genesis, Label, Origin, Record, Source, Transaction, ValidatorId, VoteKey, VoteSigner as _,
};
use birthmark_node::authorities::AuthorityBook;
use birthmark_node::production::Node;
use birthmark_node::registry::Registry;
use birthmark_node::settings::{AuthoritySettings, Settings};
use birthmark_node::store::{Pooled, Store};
use birthmark_node::{clock, identity};
use birthmark_protocol::submission::certificate_lines;
use birthmark_protocol::{
    Bundle, CameraCertificate, Digest, DigestRole, ImageClaim, ModificationLevel, Signature,
};
use birthmark_sma::setup::{self, Root};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

pub fn ecdsa_seconds() -> f64 {
    let key = VoteKey::from_bytes(&[7; 32]).unwrap();
    let (public, signature) = (
        key.public_key().to_sec1(),
        key.sign(b"text").unwrap().to_bytes(),
    );
    let started = Instant::now();
    for _ in 0..2000 {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(b"text", &signature)
            .unwrap();
    }
    started.elapsed().as_secs_f64() / 2000.0
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// An authority with one camera, and that camera's submissions, signed before the clock starts.
pub async fn submissions(folder: &Path, count: usize) -> (AuthoritySettings, Vec<String>) {
    use std::os::unix::fs::PermissionsExt as _;
    let at = folder.join("authority");
    std::fs::create_dir_all(at.join("credentials")).unwrap();
    for name in [setup::VAULT_CREDENTIAL, setup::ROOT_CREDENTIAL] {
        let file = at.join("credentials").join(name);
        std::fs::write(&file, "a passphrase for benchmarks only").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let settings = birthmark_sma::Settings {
        database: format!("sqlite://{}", at.join("authority.db").display()),
        manufacturer_id: "bench-maker".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        control: at.join("control.sock"),
        limits: birthmark_sma::settings::Limits {
            requests_per_second: 0,
            burst: 0,
            ..Default::default()
        },
        ..Default::default()
    };
    let credentials = Credentials::at(at.join("credentials"));
    let founded = setup::found(
        &settings,
        &credentials,
        Root::New {
            key_file: &at.join("root.key.pem"),
        },
        None,
        |_| {},
    )
    .await
    .unwrap();
    for (file, text) in [
        ("intermediate.pem", &founded.intermediate),
        ("verdict.pem", &founded.verdict_key),
    ] {
        std::fs::write(at.join(file), text).unwrap();
    }
    let (context, ready) = Context::embedded(credentials, Shutdown::default());
    tokio::spawn(birthmark_sma::run(settings, context));
    let url = format!("http://{}", ready.await.unwrap().tcp("http").unwrap());
    let key = SigningKey::from_slice(&random::<32>()).unwrap();
    let pem = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .unwrap();
    let request = json!({"device_serial": "BENCH-1", "device_family": "Bench Camera", "device_public_key": pem});
    let answer: Value = reqwest::Client::new()
        .post(format!("{url}/api/v1/devices/provision"))
        .json(&request)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let certificate = CameraCertificate::from_pem_or_der(
        answer["device_certificate"].as_str().unwrap().as_bytes(),
    )
    .unwrap();
    let certificate = STANDARD.encode(certificate.der());
    let now = clock::now();
    let body = |_| {
        let image = Digest::from_bytes(random());
        let text = certificate_lines(&image, &certificate, now, None);
        let signature: p256::ecdsa::Signature = key
            .sign_prehash(Digest::of(text.as_bytes()).as_bytes())
            .unwrap();
        let signature = STANDARD.encode(Signature::from(signature).to_der());
        json!({"image_hash": image, "camera_cert": certificate, "software_cert": null, "timestamp": now, "bundle_signature": signature}).to_string()
    };
    let entry = AuthoritySettings {
        ca: vec![at.join("intermediate.pem")],
        verdict_keys: vec![at.join("verdict.pem")],
        ..AuthoritySettings::new("bench-maker", url)
    };
    (entry, (0..count).map(body).collect())
}

/// Fills the registry with full blocks through the engine; the digests.
pub async fn fill(
    settings: &Settings,
    keys: &Path,
    genesis: &Genesis,
    records: usize,
) -> Vec<Digest> {
    let credentials = Credentials::at(keys);
    let key = identity::vote_key(&credentials).unwrap();
    let store = Store::open(&settings.database).await.unwrap();
    let registry = std::sync::Arc::new(
        Registry::open(store.clone(), genesis.clone())
            .await
            .unwrap(),
    );
    let own = ValidatorId::of(&key.public_key());
    let book = std::sync::Arc::new(AuthorityBook::read(settings, own).unwrap());
    let node = Node::new(std::sync::Arc::clone(&registry), book, settings.guard());
    let mut engine = SingleValidator::new(
        node,
        identity::keys(&credentials).unwrap(),
        genesis.chain_id.clone(),
        Pacing::default(),
    );
    let origin = Origin {
        source: Source::Server,
        authority: Label::new("bench").unwrap(),
        family: Label::new("").unwrap(),
    };
    let (mut digests, started) = (Vec::with_capacity(records), Instant::now());
    while digests.len() < records {
        let mut batch = Vec::new();
        for _ in 0..1000.min(records - digests.len()) {
            let digest = Digest::from_bytes(random());
            digests.push(digest);
            let image = ImageClaim {
                digest,
                role: DigestRole::Unstated,
                level: ModificationLevel::RAW,
                parent: None,
            };
            batch.push(
                Record::new(
                    Bundle::new(vec![image], clock::now(), None).unwrap(),
                    origin.clone(),
                )
                .unwrap(),
            );
        }
        let count = batch.len();
        let vouching = vec![birthmark_consensus::Vouching::Word; count];
        let evidence = birthmark_consensus::Evidence {
            verdicts: Vec::new(),
            vouching,
        }
        .encode();
        let transaction = Transaction::sign(&genesis.hash(), batch, &key).unwrap();
        let pooled = Pooled {
            hash: transaction.hash(),
            records: count as u32,
            since_ms: 0,
            body: transaction.encode(),
            evidence,
        };
        store.pool(&pooled).await.unwrap();
        let step = engine.step(clock::now_millis()).await.unwrap();
        assert!(matches!(step, Step::Committed(_)));
    }
    super::line(
        "records into full blocks",
        records as f64 / started.elapsed().as_secs_f64(),
        "/s",
        None,
    );
    store.close().await;
    digests
}
