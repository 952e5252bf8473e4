//! What surrounds the daemon: a signer with a real key, a validator that reads what it is sent, a
//! place, and a client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_capture::CaptureSettings;
use birthmark_capture::client::CaptureCalls;
use birthmark_capture::messages::{Photo, Status};
use birthmark_capture::settings::Source;
use birthmark_daemon::varlink::{self, Bounded, Peers};
use birthmark_daemon::{Context, Credentials, Idle, Shutdown};
use birthmark_ledger::Head;
use birthmark_protocol::{
    Bundle, CameraToken, Commitment, Digest, KeyIndex, MasterKey, NucHash, PublicKey, Signature,
    TableId,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use zlink::Connection;
use zlink::introspect::Type;

use crate::receipts;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with everything in it, and what runs there.
pub struct World {
    pub folder: tempfile::TempDir,
    pub node: Validator,
    pub settings: CaptureSettings,
}

impl World {
    /// A validator, and settings for a camera with a small sensor. Nothing else runs yet.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Validator::start().await;
        let settings = CaptureSettings {
            socket: folder.path().join("capture"),
            photos: folder.path().join("photos"),
            state: folder.path().join("state"),
            signer: folder.path().join("signer"),
            node: node.address.clone().into(),
            longest_pause_seconds: 1,
            keep_free_mib: 1,
            source: Some(Source::Simulated {
                sensor: 7,
                width: Some(320),
                height: Some(240),
            }),
            ..CaptureSettings::default()
        };
        Self {
            folder,
            node,
            settings,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a signer.
    pub fn sign(&self) -> Stop {
        let listener = UnixListener::bind(self.path("signer")).unwrap();
        serve(listener, TestSigner::default(), self.path("signer"))
    }

    /// Starts a signer whose certificate ends so many days from now.
    pub fn sign_for(&self, days: i64) -> Stop {
        let listener = UnixListener::bind(self.path("signer")).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let until = now.unwrap().as_secs().cast_signed() + days * 86_400;
        let signer = TestSigner {
            certificate_until: Some(until),
        };
        serve(listener, signer, self.path("signer"))
    }

    /// Starts the camera and waits until it answers.
    pub async fn shoot(&self) -> RunningCamera {
        let shutdown = Shutdown::default();
        let (context, ready) = Context::embedded(Credentials::none(), shutdown.clone());
        let running = tokio::spawn(birthmark_capture::run(self.settings.clone(), context));
        let ready = ready.await;
        if ready.is_err() {
            panic!("the camera did not start: {:?}", running.await);
        }
        let calls = connect(&self.settings.socket).await;
        RunningCamera {
            shutdown,
            running,
            calls,
        }
    }
}

pub async fn connect(socket: &Path) -> Connection<Bounded> {
    varlink::connect(socket, &Peers::same_user(), DEADLINE)
        .await
        .unwrap()
}

/// Stops what it stands for when dropped.
pub struct Stop(Shutdown, PathBuf);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.request();
        let _ = std::fs::remove_file(&self.1);
    }
}

pub fn serve<S>(listener: UnixListener, service: S, path: PathBuf) -> Stop
where
    S: zlink::Service<Bounded> + Clone + Send + 'static,
{
    let shutdown = Shutdown::with_grace(Duration::from_secs(1));
    let end = shutdown.clone();
    tokio::spawn(async move {
        varlink::serve(listener, service, Peers::same_user(), Idle::never(), end)
            .await
            .unwrap();
    });
    Stop(shutdown, path)
}

/// A camera daemon inside this process.
pub struct RunningCamera {
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    pub calls: Connection<Bounded>,
}

impl RunningCamera {
    pub async fn capture(&mut self) -> Photo {
        self.calls.capture().await.unwrap().unwrap()
    }

    pub async fn status(&mut self) -> Status {
        self.calls.status().await.unwrap().unwrap()
    }

    /// Waits until the status is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        self.until_within(600, what, wanted).await
    }

    /// The same, asking so many times, twenty times a second.
    pub async fn until_within(
        &mut self,
        times: u32,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        for _ in 0..times {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} did not happen: {:?}", self.status().await);
    }

    pub async fn stop(self) {
        drop(self.calls);
        self.shutdown.request();
        self.running.await.unwrap().unwrap();
    }
}

/// The key of the test camera. It has never been in a TPM and is good for nothing else.
pub fn test_key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

/// Stands where the certificate would: the public key itself.
pub fn test_certificate() -> Vec<u8> {
    let point = test_key().verifying_key().to_sec1_point(false);
    PublicKey::from_sec1(point.as_bytes())
        .unwrap()
        .to_spki_der()
}

/// A signer that signs what it parsed, as the real one does.
#[derive(Debug, Clone, Copy, Default)]
struct TestSigner {
    /// When the certificate ends.
    certificate_until: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, Type)]
struct KeyStatus {
    provisioned: bool,
    certificate_not_after: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, Type)]
struct Signed {
    bundle_digest: String,
    signature: String,
    certificate: String,
    key_store: String,
}

#[derive(Debug, Serialize, Deserialize, Type)]
struct Token {
    ciphertext: String,
    nonce: String,
    auth_tag: String,
    table_id: i64,
    key_index: i64,
    key_store: String,
}

#[derive(Debug, zlink::ReplyError, zlink::introspect::ReplyError)]
#[zlink(interface = "org.birthmark.Signer")]
enum TestRefusal {
    BadInput { field: String, reason: String },
}

#[zlink::service(interface = "org.birthmark.Signer")]
impl TestSigner {
    async fn sign_bundle(
        &self,
        bundle: String,
        anchor_block: Option<String>,
    ) -> Result<Signed, TestRefusal> {
        let bytes = STANDARD.decode(bundle).unwrap();
        let bundle = Bundle::decode(&bytes).map_err(|error| TestRefusal::BadInput {
            field: "bundle".to_owned(),
            reason: error.to_string(),
        })?;
        let block = anchor_block.map(|text| text.parse().unwrap());
        let digest = bundle.digest(block.as_ref()).unwrap();
        let signature: p256::ecdsa::Signature = test_key().sign_prehash(digest.as_bytes()).unwrap();
        Ok(Signed {
            bundle_digest: digest.to_hex(),
            signature: STANDARD.encode(signature.to_der().as_bytes()),
            certificate: STANDARD.encode(test_certificate()),
            key_store: "software".to_owned(),
        })
    }

    async fn issue_token(&self, commitment: String) -> Result<Token, TestRefusal> {
        let commitment = Commitment::from(commitment.parse::<Digest>().unwrap());
        let nuc = NucHash::from_bytes([9; 32]);
        let master = MasterKey::from_bytes([8; 32]);
        let (table, index) = (
            TableId::try_from(42).unwrap(),
            KeyIndex::try_from(7).unwrap(),
        );
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).unwrap();
        let token = CameraToken::issue(&nuc, &master, table, index, nonce, &commitment);
        Ok(Token {
            ciphertext: hex::encode(token.sealed.ciphertext),
            nonce: hex::encode(token.sealed.nonce),
            auth_tag: hex::encode(token.sealed.tag),
            table_id: 42,
            key_index: 7,
            key_store: "software".to_owned(),
        })
    }

    async fn status(&self) -> Result<KeyStatus, TestRefusal> {
        Ok(KeyStatus {
            provisioned: true,
            certificate_not_after: self.certificate_until,
        })
    }
}

/// How the validator behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Honest,
    Busy,
    Refusing,
    Nonsense,
    Proxy,
    Forgetful,
    Rejecting,
    NoReceipt,
    /// Its receipts are signed by nobody of the registry.
    Forging,
    /// Its receipts hold, and are about another photo.
    MixedUp,
    /// It answers about the first photo it ever got, as validators do about a frame they have.
    First,
}

/// A validator that checks the camera's signature and keeps records, and has its moods.
#[derive(Clone)]
pub struct Validator {
    pub address: String,
    book: Arc<Mutex<Book>>,
}

struct Book {
    mood: Mood,
    /// What it shows as the newest block.
    head: Option<Head>,
    /// Receipt numbers by what was sent.
    receipts: BTreeMap<String, String>,
    /// What was claimed, by receipt number.
    bundles: BTreeMap<String, Bundle>,
    /// Tokens by raw digest: more than one would be a second record.
    tokens: BTreeMap<String, BTreeSet<String>>,
    requests: u64,
}

impl Validator {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let book = Book {
            mood: Mood::Honest,
            head: None,
            receipts: BTreeMap::new(),
            bundles: BTreeMap::new(),
            tokens: BTreeMap::new(),
            requests: 0,
        };
        let validator = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            book: Arc::new(Mutex::new(book)),
        };
        let routes = Router::new()
            .route("/api/v1/submit-cert", post(submit))
            .route("/api/v1/submission/{id}", get(fate))
            .route("/api/v1/genesis", get(genesis))
            .route("/api/v1/head", get(head))
            .with_state(validator.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        validator
    }

    pub fn feel(&self, mood: Mood) {
        self.book.lock().unwrap().mood = mood;
    }

    /// Shows this as the newest block from now on.
    pub fn show(&self, head: Head) {
        self.book.lock().unwrap().head = Some(head);
    }

    /// The raw digests it has records of, and how many tokens came for each.
    pub fn records(&self) -> BTreeMap<String, usize> {
        let book = self.book.lock().unwrap();
        let count = |(raw, tokens): (&String, &BTreeSet<String>)| (raw.clone(), tokens.len());
        book.tokens.iter().map(count).collect()
    }

    pub fn requests(&self) -> u64 {
        self.book.lock().unwrap().requests
    }
}

fn refusal(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "detail": sentence }))).into_response()
}

async fn submit(State(validator): State<Validator>, body: String) -> Response {
    let mut book = validator.book.lock().unwrap();
    book.requests += 1;
    match book.mood {
        Mood::Busy => return refusal(StatusCode::SERVICE_UNAVAILABLE, "the queue is full"),
        Mood::Refusing => {
            return refusal(StatusCode::BAD_REQUEST, "the certificate has been revoked");
        }
        Mood::Nonsense => return (StatusCode::OK, "<html>hello</html>").into_response(),
        Mood::Proxy => {
            return (StatusCode::BAD_REQUEST, "<html>Bad Request</html>").into_response();
        }
        _ => {}
    }
    let request: Value = serde_json::from_str(&body).unwrap();
    if let Err(reason) = check(&request) {
        return refusal(StatusCode::BAD_REQUEST, &reason);
    }
    let raw = request["image_hashes"][0]["image_hash"].as_str().unwrap();
    let nonce = request["camera_token"]["nonce"].as_str().unwrap();
    let known = book.tokens.entry(raw.to_owned()).or_default();
    known.insert(nonce.to_owned());
    let next = format!("receipt-{}", book.receipts.len());
    let receipt_id = book.receipts.entry(body).or_insert(next).clone();
    book.bundles
        .insert(receipt_id.clone(), rebuilt(&request).unwrap());
    (
        StatusCode::ACCEPTED,
        Json(
            json!({"receipt_id": receipt_id, "status": "pending_validation", "message": "queued"}),
        ),
    )
        .into_response()
}

/// Rebuilds the bundle from the request and checks the camera's signature and its token over it.
fn check(request: &Value) -> Result<(), String> {
    let bundle = rebuilt(request).ok_or("the claims are no bundle")?;
    let bytes = |field: &str| {
        STANDARD
            .decode(request[field].as_str().unwrap_or_default())
            .map_err(|_| format!("{field} is not base64"))
    };
    let key = PublicKey::from_spki_der(&bytes("camera_cert")?).map_err(|e| e.to_string())?;
    let signature =
        Signature::from_der(&bytes("bundle_signature")?).map_err(|error| error.to_string())?;
    let block = request["anchor"]["block_hash"].as_str();
    let block = block.map(|text| text.parse().unwrap());
    let digest = bundle
        .digest(block.as_ref())
        .map_err(|error| error.to_string())?;
    key.verify_digest(&digest, &signature)
        .map_err(|error| error.to_string())?;
    let opening = birthmark_protocol::Opening::from_hex(request["opening"].as_str().unwrap())
        .map_err(|error| error.to_string())?;
    let token: CameraToken =
        serde_json::from_value(request["camera_token"].clone()).map_err(|e| e.to_string())?;
    let commitment = Commitment::new(&digest, &opening);
    let table_key = MasterKey::from_bytes([8; 32])
        .table_key(token.index, birthmark_protocol::DerivationProfile::A);
    match token.sealed.open(&table_key, commitment.as_bytes()) {
        Some(_) => Ok(()),
        None => Err("the token does not belong to the photo".to_owned()),
    }
}

fn rebuilt(request: &Value) -> Option<Bundle> {
    use birthmark_protocol::{Capture, DigestRole, ImageClaim, ModificationLevel, Timestamp};
    let claim = |image: &Value| {
        let role = match image["role"].as_str()? {
            "raw" => DigestRole::Raw,
            "file" => DigestRole::File,
            "image-data" => DigestRole::ImageData,
            _ => return None,
        };
        let parent = image["parent_image_hash"].as_str();
        Some(ImageClaim {
            digest: image["image_hash"].as_str()?.parse().ok()?,
            role,
            level: ModificationLevel::try_from(image["modification_level"].as_i64()?).ok()?,
            parent: parent.map(|text| text.parse().unwrap()),
        })
    };
    let images: Option<Vec<_>> = request["image_hashes"]
        .as_array()?
        .iter()
        .map(claim)
        .collect();
    let capture = Capture {
        source: serde_json::from_value(request["source"].clone()).ok()?,
        software: None,
        anchor: request["anchor"]["height"].as_u64(),
        disclosure: serde_json::from_value(request["disclosure_root"].clone()).ok()?,
    };
    let time = Timestamp::from_unix(request["timestamp"].as_i64()?);
    Bundle::captured(images?, time, capture).ok()
}

async fn fate(State(validator): State<Validator>, Segment(id): Segment<String>) -> Response {
    let mut book = validator.book.lock().unwrap();
    book.requests += 1;
    match book.mood {
        Mood::Busy => return refusal(StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Mood::Nonsense | Mood::Proxy => {
            return (StatusCode::OK, "<html>hello</html>").into_response();
        }
        Mood::Forgetful => {
            book.mood = Mood::Honest;
            return refusal(StatusCode::NOT_FOUND, "no such submission");
        }
        Mood::Rejecting => {
            return Json(
                json!({"receipt_id": id, "received_at": 5, "status": "rejected", "reason": "the authority does not know this camera"}),
            )
            .into_response();
        }
        Mood::NoReceipt => {
            let answer = json!({"receipt_id": id, "received_at": 5, "status": "stored"});
            return Json(answer).into_response();
        }
        _ => {}
    }
    let Some(bundle) = book.bundles.get(&id) else {
        return refusal(StatusCode::NOT_FOUND, "no such submission");
    };
    let receipt = match book.mood {
        Mood::Forging => receipts::cut(bundle, &receipts::other_key()),
        Mood::MixedUp => receipts::cut(&receipts::other_bundle(), &receipts::test_vote_key()),
        Mood::First => {
            let first = &book.bundles["receipt-0"];
            receipts::cut(first, &receipts::test_vote_key())
        }
        _ => receipts::cut(bundle, &receipts::test_vote_key()),
    };
    let receipt = serde_json::to_value(receipt).unwrap();
    let answer = json!({"status": "stored", "receipt_id": id, "received_at": 5, "block_height": 1, "receipt": receipt});
    Json(answer).into_response()
}

async fn genesis() -> Response {
    Json(receipts::genesis(&receipts::test_vote_key())).into_response()
}

async fn head(State(validator): State<Validator>) -> Response {
    let head = validator.book.lock().unwrap().head.clone();
    match head {
        Some(head) => Json(head).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "there is no block at this height"),
    }
}
