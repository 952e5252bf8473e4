//! Cameras and their authority. What they send is signed before the clock starts.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_node::clock;
use birthmark_node::settings::AuthoritySettings;
use birthmark_protocol::submission::certificate_lines;
use birthmark_protocol::{
    CameraCertificate, CameraExtensions, CameraToken, DeviceKey, Digest, KeyIndex, SealedNuc,
    TableId,
};
use birthmark_sma::ca::{CameraSubject, FastKey, Issuer, PrivateKey};
use birthmark_sma::setup::{self, Root};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use crate::process::Process;

/// The authority whose cameras all have certificates the node never saw. Nobody answers for it.
const AWAY: &str = "bench-away";
/// The authority that answers.
const MAKER: &str = "bench-maker";

struct Camera {
    key: FastKey,
    certificate: String,
}

fn digest() -> Digest {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    Digest::from_bytes(bytes)
}

/// A token that nobody opens: its authority is away.
fn token() -> CameraToken {
    CameraToken {
        sealed: SealedNuc::from_packed(&[7; 60]).unwrap(),
        table: TableId::try_from(42).unwrap(),
        index: KeyIndex::try_from(42).unwrap(),
    }
}

impl Camera {
    fn new(key: &PrivateKey, certificate: &CameraCertificate) -> Self {
        Self {
            key: key.fast().unwrap(),
            certificate: STANDARD.encode(certificate.der()),
        }
    }

    /// A submission of a new photo, as the documents' cameras with certificates send it.
    fn body(&self) -> String {
        let (image, now) = (digest(), clock::now());
        let text = certificate_lines(&image, &self.certificate, now, None);
        let signature = self.key.sign(text.as_bytes()).unwrap();
        let signature = STANDARD.encode(signature.to_der());
        json!({"image_hash": image, "camera_cert": self.certificate, "software_cert": null, "timestamp": now, "bundle_signature": signature}).to_string()
    }
}

/// So many submissions, each under a certificate of its own: two signatures have to be checked for each.
pub fn strangers(folder: &Path, count: usize) -> (AuthoritySettings, Vec<String>) {
    let settings = birthmark_sma::Settings::rehearsal(AWAY);
    let now = clock::now();
    let root = Issuer::root(&settings, now).unwrap();
    let issuer = root.intermediate(&settings, now).unwrap();
    let pem = folder.join("away.pem");
    std::fs::write(&pem, birthmark_sma::ca::pem(&issuer.der)).unwrap();
    // A port that was free a moment ago: whoever is asked there does not answer.
    let url = format!("http://{}", crate::process::free_address());
    let entry = AuthoritySettings {
        ca: vec![pem],
        ..AuthoritySettings::new(AWAY, &url)
    };
    let body = |_| {
        let key = PrivateKey::generate().unwrap();
        let device = DeviceKey::P256(key.public());
        let subject = CameraSubject {
            attested: false,
            key: &device,
            extensions: CameraExtensions {
                manufacturer_id: AWAY.into(),
                ma_endpoint: url.clone(),
                token: token(),
                device_family: "Bench Camera".into(),
            },
        };
        let der = issuer.certify(&settings, subject, now).unwrap();
        Camera::new(&key, &CameraCertificate::from_der(&der).unwrap()).body()
    };
    (entry, (0..count).map(body).collect())
}

/// The process that is an authority: `authority FOLDER`.
pub async fn authority(folder: &Path) {
    let settings = birthmark_sma::Settings {
        database: format!("sqlite://{}", folder.join("authority.db").display()),
        listen: "127.0.0.1:0".parse().unwrap(),
        control: folder.join("control.sock"),
        limits: birthmark_sma::settings::Limits {
            requests_per_second: 0,
            public_questions_per_second: 0,
            ..Default::default()
        },
        ..birthmark_sma::Settings::rehearsal(MAKER)
    };
    let credentials = credentials(folder);
    let key_file = folder.join("root.key.pem");
    if !key_file.exists() {
        let root = Root::New {
            key_file: &key_file,
        };
        let founded = setup::found(&settings, &credentials, root, None, |_| {})
            .await
            .unwrap();
        for (file, text) in [
            ("intermediate.pem", &founded.intermediate),
            ("verdict.pem", &founded.verdict_key),
        ] {
            std::fs::write(folder.join(file), text).unwrap();
        }
    }
    let (context, ready) = Context::embedded(credentials, Shutdown::default());
    let running = tokio::spawn(birthmark_sma::run(settings, context));
    println!("{}", ready.await.unwrap().tcp("http").unwrap());
    running.await.unwrap().unwrap();
}

fn credentials(folder: &Path) -> Credentials {
    use std::os::unix::fs::PermissionsExt as _;
    let at = folder.join("credentials");
    std::fs::create_dir_all(&at).unwrap();
    for name in [setup::VAULT_CREDENTIAL, setup::ROOT_CREDENTIAL] {
        std::fs::write(at.join(name), "a passphrase for benchmarks only").unwrap();
        std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Credentials::at(at)
}

/// A running authority, and so many submissions of its cameras.
pub async fn friends(
    folder: &Path,
    cameras: usize,
    count: usize,
) -> (Process, AuthoritySettings, Vec<String>) {
    let at = folder.join("authority");
    std::fs::create_dir_all(&at).unwrap();
    let process = Process::role(&["authority", at.to_str().unwrap()]);
    let url = format!("http://{}", process.address);
    let entry = AuthoritySettings {
        ca: vec![at.join("intermediate.pem")],
        verdict_keys: vec![at.join("verdict.pem")],
        ..AuthoritySettings::new(MAKER, &url)
    };
    let client = reqwest::Client::new();
    let mut known = Vec::new();
    for number in 0..cameras {
        known.push(provision(&client, &url, number).await);
    }
    let bodies = (0..count).map(|at| known[at % cameras].body()).collect();
    (process, entry, bodies)
}

async fn provision(client: &reqwest::Client, url: &str, number: usize) -> Camera {
    let key = PrivateKey::generate().unwrap();
    let pem = key
        .signer()
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .unwrap();
    let serial = format!("BENCH-{}-{number}", &digest().to_hex()[..8]);
    let request =
        json!({"device_serial": serial, "device_family": "Bench Camera", "device_public_key": pem});
    let answer = client
        .post(format!("{url}/api/v1/devices/provision"))
        .json(&request)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    let pem = answer["device_certificate"].as_str().unwrap();
    let certificate = CameraCertificate::from_pem_or_der(pem.as_bytes()).unwrap();
    Camera::new(&key, &certificate)
}
