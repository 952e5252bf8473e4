//! What the authority costs with a million cameras: start, memory, one validation, one of a batch.
//! Prints ratios.
//!
//! `cargo bench -p birthmark-sma` for the whole million, `-- 50000` for fewer. The server runs in a
//! process of its own on one thread, so that its CPU time is not the load generator's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_http::{Listener, ServerLimits};
use birthmark_protocol::{
    CameraCertificate, CameraExtensions, CameraToken, Commitment, DerivationProfile, DeviceKey,
    Digest, KeyIndex, NucHash, SealedNuc, TableId, Timestamp,
};
use birthmark_sma::authority::nuc_label;
use birthmark_sma::ca::{CameraSubject, PrivateKey};
use birthmark_sma::keyring::Keyring;
use birthmark_sma::settings::{Limits, Settings};
use birthmark_sma::setup::{self, Root};
use birthmark_sma::store::{CertificateRow, NewDevice, OperatorRow, Store};
use birthmark_sma::tables::KeyTables;
use birthmark_sma::vault::Vault;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the cryptography of one validation costs, measured apart.
const CRYPTOGRAPHY: Duration = Duration::from_nanos(650);
const CONNECTIONS: usize = 32;
const SAMPLE: u64 = 2000;

fn settings(folder: &Path) -> Settings {
    Settings {
        database: format!("sqlite://{}", folder.join("authority.db").display()),
        listen: "127.0.0.1:0".parse().unwrap(),
        control: folder.join("control.sock"),
        // In force, but never reached.
        limits: Limits {
            requests_per_second: 1_000_000_000,
            burst: 1_000_000_000,
            public_questions_per_second: 1_000_000_000,
            public_questions_burst: 1_000_000_000,
            validator_questions_per_second: 1_000_000_000,
            validator_questions_burst: 1_000_000_000,
            ..Limits::default()
        },
        ..Settings::rehearsal("bench-maker")
    }
}

fn credentials(folder: &Path) -> Credentials {
    use std::os::unix::fs::PermissionsExt;
    for name in [setup::VAULT_CREDENTIAL, setup::ROOT_CREDENTIAL] {
        let path = folder.join(name);
        std::fs::write(&path, "a credential for benchmarks only").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Credentials::at(folder)
}

fn nuc(number: u64) -> NucHash {
    NucHash::from_bytes(*Digest::of(&number.to_be_bytes()).as_bytes())
}

fn tables(number: u64) -> [TableId; 3] {
    [0, 833, 1666]
        .map(|shift| TableId::try_from(i64::try_from((number + shift) % 2500).unwrap()).unwrap())
}

/// Whether this camera is one of those the load comes from.
fn is_of_the_sample(number: u64, devices: u64) -> bool {
    number.is_multiple_of((devices / SAMPLE).max(1))
}

fn device(vault: &Vault, number: u64, certificate: Option<CertificateRow>) -> NewDevice {
    let (serial, nuc) = (format!("CAM-{number:09}"), nuc(number));
    NewDevice {
        nuc_index: vault.index_of(nuc.expose()),
        nuc_sealed: vault.seal(&nuc_label(&serial), nuc.expose()).unwrap(),
        serial,
        simulated_nuc: false,
        tables: tables(number),
        family: "Benchmark".into(),
        firmware: None,
        attested: false,
        chip: None,
        // The load is tokens of older cameras, made beforehand.
        binds_tokens: false,
        provisioned_at: Timestamp::from_unix(0),
        enrolled_by: "benchmark".into(),
        certificate,
    }
}

/// A camera's certificate, as provisioning issues it.
fn certificate(
    settings: &Settings,
    keyring: &Keyring,
    keys: &KeyTables,
    number: u64,
) -> CertificateRow {
    let key = DeviceKey::P256(PrivateKey::generate().unwrap().public());
    let table = tables(number)[0];
    let token = CameraToken::issue_certificate(
        &nuc(number),
        keys.get(table).unwrap(),
        table,
        KeyIndex::try_from(42).unwrap(),
        birthmark_sma::random::bytes().unwrap(),
        &key.to_spki_der(),
    );
    let extensions = CameraExtensions {
        manufacturer_id: settings.manufacturer_id.clone(),
        ma_endpoint: settings.endpoint.clone(),
        token,
        device_family: "Benchmark".into(),
    };
    let subject = CameraSubject {
        key: &key,
        extensions,
        attested: false,
    };
    let now = birthmark_sma::clock::now();
    let der = keyring.issuer.certify(settings, subject, now).unwrap();
    let read = CameraCertificate::from_der(&der).unwrap();
    let (from, until) = read.validity();
    CertificateRow {
        serial: read.serial().to_vec(),
        issuer: keyring.issuer.id().as_bytes().to_vec(),
        key_hash: key.digest().as_bytes().to_vec(),
        issued_at: from.unix(),
        expires_at: until.unix(),
        der,
    }
}

/// Fills the database with cameras, many in one transaction. Gives the certificates of the sample,
/// in DER.
async fn fill(folder: &Path, devices: u64) -> Vec<Vec<u8>> {
    let settings = settings(folder);
    let credentials = credentials(folder);
    setup::found(
        &settings,
        &credentials,
        Root::New {
            key_file: &folder.join("root.key.pem"),
        },
        None,
        |_| {},
    )
    .await
    .unwrap();
    let store = Store::open(&settings.database, 1).await.unwrap();
    let vault = setup::open_vault(&store, &credentials).await.unwrap();
    let keyring = Keyring::load(&store, &vault).await.unwrap();
    let keys = KeyTables::open(&vault, &store.key_tables().await.unwrap()).unwrap();
    let mut certificates = Vec::new();
    let mut certified = |number| {
        let wanted = is_of_the_sample(number, devices);
        let row = wanted.then(|| certificate(&settings, &keyring, &keys, number));
        certificates.extend(row.as_ref().map(|row| row.der.clone()));
        device(&vault, number, row)
    };
    for first in (0..devices).step_by(10_000) {
        let cameras = (first..(first + 10_000).min(devices)).map(&mut certified);
        store
            .register(&vault, cameras.collect(), None)
            .await
            .unwrap();
    }
    let validator = OperatorRow {
        name: "benchmark".into(),
        token_hash: Digest::of(TOKEN.as_bytes()).as_bytes().to_vec(),
        roles: "validate".into(),
        serials: None,
        cameras: None,
        used: 0,
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        mac: Vec::new(),
    };
    store.add_operator(&vault, &validator).await.unwrap();
    store.close().await;
    certificates
}

/// The server's process: prints its port, then serves until it is ended.
fn serve(kind: &str, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if kind == "plain" {
            // What axum asks for answering a POST of the same size with JSON.
            let handler = async |body: birthmark_http::Json<serde_json::Value>| axum::Json(json!({"valid": body.0.is_object(), "message": "a registered camera stands behind this", "manufacturer_id": "x"}));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap());
            let router = axum::Router::new().route("/validate", post(handler));
            birthmark_http::serve(Listener::Tcp(vec![listener]), router, ServerLimits::default(), std::future::pending()).await;
            return;
        }
        let (context, ready) = Context::embedded(Credentials::at(folder), Shutdown::default());
        let running = tokio::spawn(birthmark_sma::run(settings(folder), context));
        println!("{}", ready.await.unwrap().tcp("http").unwrap());
        running.await.unwrap().unwrap();
    });
}

struct Server {
    process: Child,
    address: String,
    started_in: Duration,
}

impl Server {
    fn start(kind: &str, folder: &Path) -> Self {
        let begun = Instant::now();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["serve", kind])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            process,
            address: address.trim().to_owned(),
            started_in: begun.elapsed(),
        }
    }

    /// CPU time the process has used.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        // The kernel counts in hundredths of a second.
        Duration::from_millis((fields[0] + fields[1]) * 10)
    }

    fn memory_mb(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The token of the validator that asks in batches.
const TOKEN: &str = "bma_of_the_benchmark";

fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

struct Load {
    cpu: Duration,
    per_second: f64,
    p99: Duration,
}

/// Sends prepared requests for a while over a few connections, and measures.
async fn load(
    server: &Server,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Load {
    let (begun, cpu) = (Instant::now(), server.cpu());
    let workers = (0..connections).map(|place| {
        let (address, requests) = (server.address.clone(), Arc::clone(&requests));
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut times, mut buffer) = (Vec::new(), vec![0; 512 * 1024]);
            for request in requests.iter().cycle().skip(place * 37) {
                if begun.elapsed() > time {
                    break;
                }
                let sent = Instant::now();
                stream.write_all(request).await.unwrap();
                receive(&mut stream, &mut buffer).await;
                times.push(sent.elapsed());
            }
            times
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    let elapsed = begun.elapsed();
    times.sort_unstable();
    let amount = u32::try_from(times.len()).unwrap();
    Load {
        cpu: (server.cpu() - cpu) / amount,
        per_second: f64::from(amount) / elapsed.as_secs_f64(),
        p99: times[times.len() * 99 / 100],
    }
}

/// Reads one answer with a content length, which must be a success.
async fn receive(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        let text = &buffer[..filled];
        let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let header = std::str::from_utf8(&text[..head]).unwrap();
        assert!(header.starts_with("HTTP/1.1 200"), "{header}");
        let length = header.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(|length| length.parse::<usize>().unwrap())
        });
        if filled == head + 4 + length.unwrap() {
            return;
        }
    }
}

async fn tokens(folder: &Path, devices: u64) -> Vec<CameraToken> {
    let settings = settings(folder);
    let store = Store::open(&settings.database, 1).await.unwrap();
    let vault = setup::open_vault(&store, &Credentials::at(folder))
        .await
        .unwrap();
    let keys = KeyTables::open(&vault, &store.key_tables().await.unwrap()).unwrap();
    store.close().await;
    let index = KeyIndex::try_from(42).unwrap();
    let token = |number: u64| {
        let number = number * devices / SAMPLE;
        let table = tables(number)[0];
        let key = keys
            .get(table)
            .unwrap()
            .table_key(index, DerivationProfile::A);
        let sealed = SealedNuc::seal(
            &nuc(number),
            &key,
            birthmark_sma::random::bytes().unwrap(),
            &[],
        );
        CameraToken {
            sealed,
            table,
            index,
        }
    };
    (0..SAMPLE).map(token).collect()
}

fn micro(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How long one signature takes, to tell the verdict's from the rest: the least of many, which
/// nothing interrupted.
fn signature() -> Duration {
    let key = birthmark_sma::ca::PrivateKey::generate().unwrap();
    let key = key.fast().unwrap();
    let sign = || key.sign(std::hint::black_box(b"a verdict")).unwrap();
    let ten = || {
        let begun = Instant::now();
        for _ in 0..10 {
            std::hint::black_box(sign());
        }
        begun.elapsed() / 10
    };
    (0..200).map(|_| ten()).min().unwrap()
}

/// The same questions about tokens in three forms, and those about certificates.
struct Questions {
    /// About a token alone, as older nodes ask.
    bare: Arc<Vec<Vec<u8>>>,
    /// About a commitment, answered with a signed verdict.
    signed: Arc<Vec<Vec<u8>>>,
    /// A thousand of those in one request, under one signature.
    batches: Arc<Vec<Vec<u8>>>,
    /// About a certificate, answered with a signed verdict.
    certificates: Arc<Vec<Vec<u8>>>,
    /// A thousand of those in one request, under one signature.
    certificate_batches: Arc<Vec<Vec<u8>>>,
}

impl Questions {
    fn about(tokens: &[CameraToken], certificates: &[Vec<u8>]) -> Self {
        let bare = |token| json!({"camera_token": token, "manufacturer_authority_id": "simulated"});
        let bound = |(token, number): (&CameraToken, u64)| {
            let commitment = Commitment::from(Digest::of(&number.to_le_bytes()));
            json!({"commitment": commitment.to_string(), "camera_token": token})
        };
        let bound: Vec<_> = tokens.iter().zip(0_u64..).map(bound).collect();
        let certified = |(der, number): (&Vec<u8>, u64)| {
            let commitment = Commitment::from(Digest::of(&number.to_le_bytes()));
            json!({"commitment": commitment.to_string(), "camera_cert": STANDARD.encode(der)})
        };
        let certified: Vec<_> = certificates.iter().zip(0_u64..).map(certified).collect();
        let one = |body: serde_json::Value| request("/validate", &body.to_string());
        let one_certified = |body: serde_json::Value| request("/validate-cert", &body.to_string());
        let many = |chunk: &[serde_json::Value]| {
            let body = json!({ "requests": chunk });
            request("/api/v1/validate/batch", &body.to_string())
        };
        Self {
            bare: Arc::new(tokens.iter().map(bare).map(one).collect()),
            signed: Arc::new(bound.iter().cloned().map(one).collect()),
            batches: Arc::new(bound.chunks(1000).map(many).collect()),
            certificates: Arc::new(certified.iter().cloned().map(one_certified).collect()),
            certificate_batches: Arc::new(certified.chunks(1000).map(many).collect()),
        }
    }
}

/// Loads a server that is warm.
async fn warm_load(server: &Server, requests: &Arc<Vec<Vec<u8>>>, connections: usize) -> Load {
    let load = |time| load(server, Arc::clone(requests), connections, time);
    load(Duration::from_secs(1)).await;
    load(Duration::from_secs(8)).await
}

async fn measure(folder: &Path, devices: u64, certificates: &[Vec<u8>]) {
    let questions = Questions::about(&tokens(folder, devices).await, certificates);
    let plain = Server::start("plain", folder);
    let base = warm_load(&plain, &questions.bare, CONNECTIONS).await;
    drop(plain);
    let server = Server::start("authority", folder);
    let (memory, cpu) = (server.memory_mb(), server.cpu().as_secs_f64());
    let bare = warm_load(&server, &questions.bare, CONNECTIONS).await;
    let signed = warm_load(&server, &questions.signed, CONNECTIONS).await;
    let batch = warm_load(&server, &questions.batches, 4).await;
    let certificate = warm_load(&server, &questions.certificates, CONNECTIONS).await;
    let certificates = warm_load(&server, &questions.certificate_batches, 4).await;
    let after = server.memory_mb();

    println!("cameras                        {devices:>10}");
    let start = server.started_in.as_secs_f64();
    println!(
        "start                          {start:>10.2} s    at most 10; {cpu:.2} s of it computing"
    );
    println!("memory                         {memory:>10} MB   {after} MB after the load");
    println!(
        "axum, POST of the same size    {:>10.2} µs   {:.0}/s",
        micro(base.cpu),
        base.per_second
    );
    print_validation("one validation", &bare, base.cpu + CRYPTOGRAPHY);
    let signature = signature();
    print_validation(
        "one with a signed verdict",
        &signed,
        base.cpu + CRYPTOGRAPHY + signature,
    );
    println!(
        "  of which the signature       {:>10.2} µs",
        micro(signature)
    );
    let item = micro(batch.cpu / 1000);
    println!(
        "one of a batch of 1,000        {item:>10.2} µs   {:.0}/s",
        batch.per_second * 1000.0
    );
    println!(
        "  cheaper than one by itself   {:>10.1} ×    at least 10; {:.1} × than one without a verdict",
        micro(signed.cpu) / item,
        micro(bare.cpu) / item
    );
    print_certificates(&certificate, &certificates, signature);
}

/// Beside one signature's check, which each question would cost if nothing were remembered.
fn print_certificates(one: &Load, batch: &Load, signature: Duration) {
    println!(
        "one certificate                {:>10.2} µs   {:.0}/s; {:.2} × one signature made",
        micro(one.cpu),
        one.per_second,
        micro(one.cpu) / micro(signature)
    );
    let item = micro(batch.cpu / 1000);
    println!(
        "one of a batch of 1,000        {item:>10.2} µs   {:.0}/s; {:.2} × one signature made",
        batch.per_second * 1000.0,
        item / micro(signature)
    );
}

fn print_validation(name: &str, load: &Load, floor: Duration) {
    println!(
        "{name:<30} {:>10.2} µs   {:.2} × (axum + cryptography), at most 2",
        micro(load.cpu),
        micro(load.cpu) / micro(floor)
    );
    println!(
        "  at the highest rate          {:>10.0} /s   p99 {:.2} ms, at most 5",
        load.per_second,
        load.p99.as_secs_f64() * 1e3
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve(&arguments[1], Path::new(&arguments[2]));
    }
    let devices = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let certificates = fill(folder.path(), devices).await;
        measure(folder.path(), devices, &certificates).await;
    });
}
