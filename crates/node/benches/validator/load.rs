//! A small load generator: keep-alive connections, one request at a time on each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use birthmark_protocol::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;

pub struct Rate {
    pub rate: f64,
    pub p99: f64,
}

async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> u16 {
    stream.write_all(request).await.unwrap();
    buffer.clear();
    loop {
        assert!(
            stream.read_buf(buffer).await.unwrap() > 0,
            "the connection was closed"
        );
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end])
            .unwrap()
            .to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
            .unwrap_or(0);
        if buffer.len() >= end + 4 + length {
            return head.split(' ').nth(1).unwrap().parse().unwrap();
        }
    }
}

/// Sends every request once over all connections; when each was answered, and how.
async fn all(address: SocketAddr, requests: Vec<Vec<u8>>) -> (Rate, Vec<u16>) {
    let started = Instant::now();
    let mut tasks = Vec::new();
    let total = requests.len();
    let mut shares: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (at, request) in requests.into_iter().enumerate() {
        shares[at % CONNECTIONS].push(request);
    }
    for share in shares {
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut buffer, mut answers) = (Vec::new(), Vec::new());
            for request in share {
                let sent = Instant::now();
                let status = exchange(&mut stream, &request, &mut buffer).await;
                answers.push((sent.elapsed().as_secs_f64(), status));
            }
            answers
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    answers.sort_by(|one, other| one.0.total_cmp(&other.0));
    let p99 = answers[(answers.len() * 99 / 100).min(answers.len() - 1)].0;
    (
        Rate { rate, p99 },
        answers.into_iter().map(|(_, status)| status).collect(),
    )
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// What the framework alone does on these cores with this client.
pub async fn bare_framework() -> Rate {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/{any}", axum::routing::get(|| async { "hello" }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (rate, _) = all(address, (0..20_000).map(|_| get("/hello")).collect()).await;
    server.abort();
    rate
}

pub async fn wait_for_filter(address: SocketAddr) {
    for _ in 0..600 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut buffer = Vec::new();
        if exchange(&mut stream, &get("/health"), &mut buffer).await == 200 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
}

pub async fn lookups(address: SocketAddr, digests: &[Digest]) -> Rate {
    all(
        address,
        digests
            .iter()
            .map(|digest| get(&format!("/api/v1/verify/{digest}")))
            .collect(),
    )
    .await
    .0
}

/// How many of these were accepted.
pub async fn submit(address: SocketAddr, bodies: Vec<String>) -> usize {
    let request = |body: String| {
        format!("POST /api/v1/submit-cert HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let (_, statuses) = all(address, bodies.into_iter().map(request).collect()).await;
    statuses.into_iter().filter(|status| *status == 202).count()
}

/// Waits until the registry has this many records; how long that took.
pub async fn drain(address: SocketAddr, records: usize) -> f64 {
    let started = Instant::now();
    for _ in 0..3000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut buffer = Vec::new();
        exchange(&mut stream, &get("/api/v1/status"), &mut buffer).await;
        let text = String::from_utf8_lossy(&buffer).into_owned();
        let body: serde_json::Value =
            serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        if body["total_hashes"].as_u64().unwrap() as usize >= records {
            return started.elapsed().as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the submissions were never all stored");
}
