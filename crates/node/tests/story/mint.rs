//! An authority that gives one-time keys: it signs what cameras blinded, and keeps all that it
//! sees.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_blind::{EpochSecret, EpochVerifier};
use birthmark_node::settings::AuthoritySettings;
use birthmark_protocol::one_time::batch::BlindingSeed;
use birthmark_protocol::one_time::{
    EpochCount, EpochKey, EpochStatement, EpochWithdrawal, OneTimeProof, OneTimeSubmission,
    RsaBytes, SignedEpochStatement, key_name,
};
use birthmark_protocol::{
    Bundle, Capture, Digest, DigestRole, ImageClaim, ModificationLevel, PixelSource, PublicKey,
    Signature, Timestamp,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use crate::camera::{now, random};

pub const NAME: &str = "mint";
pub const FAMILY: &str = "Test Camera";
pub const EPOCH: u32 = 1483;

/// What the authority sees when it signs: which camera, what was blinded, what it answered.
#[derive(Clone)]
pub struct Seen {
    pub camera: usize,
    pub blinded: RsaBytes,
    pub signed: RsaBytes,
}

pub struct Mint {
    verdict: SigningKey,
    secret: EpochSecret,
    pub key: EpochKey,
    stated: Arc<Mutex<Vec<String>>>,
    pub seen: Mutex<Vec<Seen>>,
    entry: AuthoritySettings,
}

/// A one-time key as its camera holds it.
pub struct Held {
    pub secret: SigningKey,
    pub signature: RsaBytes,
}

fn sign(key: &SigningKey, digest: &Digest) -> Signature {
    let signature: p256::ecdsa::Signature = key.sign_prehash(digest.as_bytes()).unwrap();
    Signature::from(signature).normalized()
}

impl Mint {
    /// Serves its statements on a free port: at first the key of an epoch that lasts.
    pub async fn open(folder: &Path) -> Self {
        Self::open_until(folder, now().plus(86_400), 86_400).await
    }

    /// The same with an epoch that ends then, and with so many seconds of grace.
    pub async fn open_until(folder: &Path, until: Timestamp, grace: u32) -> Self {
        let verdict = SigningKey::from_slice(&random::<32>()).unwrap();
        let vectors = include_str!("../../../../spec/vectors/one-time.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let der = hex::decode(vectors["cases"][0]["rsa_secret"].as_str().unwrap()).unwrap();
        let secret = EpochSecret::from_der(&der).unwrap();
        let key = EpochKey {
            authority: NAME.into(),
            family: FAMILY.into(),
            time: now(),
            epoch: EPOCH,
            from: now().plus(-86_400),
            until,
            grace,
            is_made_up: false,
            modulus: *secret.modulus(),
        };
        let pem = verdict.verifying_key().to_public_key_pem(LineEnding::LF);
        let file = folder.join("mint.pem");
        std::fs::write(&file, pem.unwrap()).unwrap();
        let stated = Arc::<Mutex<Vec<String>>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::clone(&stated);
        let statements = move || {
            let statements = answers.lock().unwrap().clone();
            async move { Json(json!({"manufacturer_id": NAME, "statements": statements})) }
        };
        let router = Router::new().route("/api/v1/epochs", get(statements));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mint = Self {
            verdict,
            secret,
            key: key.clone(),
            stated,
            seen: Mutex::default(),
            entry: AuthoritySettings {
                verdict_keys: vec![file],
                ..AuthoritySettings::new(NAME, format!("http://{address}"))
            },
        };
        mint.state(EpochStatement::Key(key));
        mint
    }

    pub fn entry(&self) -> AuthoritySettings {
        self.entry.clone()
    }

    pub fn state(&self, statement: EpochStatement) {
        let signed = SignedEpochStatement {
            signature: sign(&self.verdict, &statement.digest()),
            statement,
        };
        let text = STANDARD.encode(signed.encode());
        self.stated.lock().unwrap().push(text);
    }

    pub fn withdraw(&self, from: Timestamp) {
        self.state(EpochStatement::Withdrawal(EpochWithdrawal {
            authority: NAME.into(),
            family: FAMILY.into(),
            time: now(),
            epoch: Some(EPOCH),
            from,
        }));
    }

    pub fn count(&self) {
        self.state(EpochStatement::Count(EpochCount {
            authority: NAME.into(),
            family: FAMILY.into(),
            time: now(),
            epoch: EPOCH,
            issued: self.seen.lock().unwrap().len() as u64,
        }));
    }

    /// A key of this camera, signed as a batch signs it.
    pub fn held(&self, camera: usize) -> Held {
        let secret = SigningKey::from_slice(&random::<32>()).unwrap();
        let public = PublicKey::from(*secret.verifying_key());
        let name = key_name(&self.key.id(), &public);
        let verifier = EpochVerifier::from_modulus(&self.key.modulus).unwrap();
        let seed = BlindingSeed::from_bytes(random());
        let blinded = verifier.blind(&name, &seed).unwrap();
        let signed = self.secret.sign(&[blinded]).unwrap()[0];
        self.seen.lock().unwrap().push(Seen {
            camera,
            blinded,
            signed,
        });
        let signature = verifier.unblind(&name, &seed, &signed).unwrap();
        Held { secret, signature }
    }
}

impl Held {
    pub fn public(&self) -> PublicKey {
        PublicKey::from(*self.secret.verifying_key())
    }

    /// A photo under this key.
    pub fn photo(&self, image: Digest) -> OneTimeSubmission {
        let claim = ImageClaim {
            digest: image,
            role: DigestRole::File,
            level: ModificationLevel::RAW,
            parent: None,
        };
        let capture = Capture {
            source: PixelSource::Sensor,
            software: Some(Digest::of(b"software")),
            anchor: None,
            disclosure: Some(Digest::from_bytes(random())),
        };
        let bundle = Bundle::captured(vec![claim], now(), capture).unwrap();
        let signature = sign(&self.secret, &bundle.digest(None).unwrap());
        OneTimeSubmission {
            bundle,
            anchor_block: None,
            authority: NAME.into(),
            family: FAMILY.into(),
            epoch: EPOCH,
            proof: OneTimeProof {
                key: self.public(),
                key_signature: self.signature,
                signature,
            },
        }
    }
}

/// The request as JSON.
pub fn body(submission: &OneTimeSubmission) -> Value {
    serde_json::from_slice(&submission.to_json().unwrap()).unwrap()
}
