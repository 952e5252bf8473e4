//! The load: keep-alive connections, one request at a time on each, from a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use birthmark_protocol::Digest;
use birthmark_trial::http::Connection;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the clients saw.
#[derive(Serialize, Deserialize, Default)]
pub struct Seen {
    pub seconds: f64,
    /// Seconds that 50, 99 and 100 of a hundred answers took at most.
    pub median: f64,
    pub p99: f64,
    pub longest: f64,
    /// How many answers had the status that was expected.
    pub expected: usize,
    pub others: usize,
}

/// Requests, one after the other with their lengths in a file.
#[derive(Default)]
pub struct Requests(Vec<u8>);

impl Requests {
    fn push(&mut self, request: &str) {
        self.0.extend((request.len() as u32).to_be_bytes());
        self.0.extend(request.as_bytes());
    }

    pub fn get(paths: impl Iterator<Item = String>) -> Self {
        let mut requests = Self::default();
        paths
            .for_each(|path| requests.push(&format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n")));
        requests
    }

    pub fn post(path: &str, bodies: &[String]) -> Self {
        let mut requests = Self::default();
        for body in bodies {
            requests.push(&format!(
                "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
        requests
    }
}

pub fn verify_path(digest: &Digest) -> String {
    format!("/api/v1/verify/{digest}")
}

/// Sends everything over so many connections from another process.
pub fn send(
    scratch: &Path,
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    expected: u16,
) -> Seen {
    let file = scratch.join("requests");
    std::fs::write(&file, &requests.0).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["client", &address.to_string(), &connections.to_string()])
        .arg(expected.to_string())
        .arg(&file)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(output.status.success(), "the load generator broke");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The process that sends: `client ADDRESS CONNECTIONS STATUS FILE`.
pub async fn client(arguments: &[String]) {
    let [address, connections, expected, file] = arguments else {
        panic!("client ADDRESS CONNECTIONS STATUS FILE")
    };
    let address: SocketAddr = address.parse().unwrap();
    let (connections, expected): (usize, u16) =
        (connections.parse().unwrap(), expected.parse().unwrap());
    let bytes = bytes::Bytes::from(std::fs::read(file).unwrap());
    let mut shares = vec![Vec::new(); connections];
    let (mut rest, mut at) = (bytes, 0);
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest.split_to(4)[..].try_into().unwrap());
        shares[at % connections].push(rest.split_to(length as usize));
        at += 1;
    }
    let mut streams = Vec::new();
    for share in shares {
        streams.push((Connection::open(address).await.unwrap(), share));
    }
    let started = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|(stream, share)| tokio::spawn(converse(stream, share)))
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    let seen = summary(started.elapsed().as_secs_f64(), answers, expected);
    let mut out = std::io::stdout();
    serde_json::to_writer(&mut out, &seen).unwrap();
    out.flush().unwrap();
}

fn summary(seconds: f64, mut answers: Vec<(f64, u16)>, expected: u16) -> Seen {
    answers.sort_by(|one, other| one.0.total_cmp(&other.0));
    let of_hundred =
        |hundredths: usize| answers[(answers.len() * hundredths / 100).min(answers.len() - 1)].0;
    let right = answers
        .iter()
        .filter(|(_, status)| *status == expected)
        .count();
    Seen {
        seconds,
        median: of_hundred(50),
        p99: of_hundred(99),
        longest: of_hundred(100),
        expected: right,
        others: answers.len() - right,
    }
}

async fn converse(mut connection: Connection, share: Vec<bytes::Bytes>) -> Vec<(f64, u16)> {
    let mut answers = Vec::with_capacity(share.len());
    for request in share {
        let sent = Instant::now();
        let (status, _) = connection.send(&request).await.unwrap();
        answers.push((sent.elapsed().as_secs_f64(), status));
    }
    answers
}

/// One question from this process: the answer's body.
pub async fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}
