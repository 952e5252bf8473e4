//! What a greedy, slow or deaf client costs, against a real server on this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use birthmark_http::{ApiError, ByteBudget, Listener, ServerLimits, body, serve};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const LARGE: usize = 100_000;
const KB: usize = 1024;

/// A server with a page of each size, and one that takes a body and keeps it for long.
async fn server(limits: ServerLimits) -> std::net::SocketAddr {
    async fn keep(request: Request) -> Result<&'static str, ApiError> {
        let body = body::read(request, 64 * KB).await?;
        sleep(Duration::from_secs(30)).await;
        drop(body);
        Ok("done")
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/small", get(|| async { vec![b'x'; 4 * KB] }))
        .route("/keep", post(keep));
    let listener = Listener::Tcp(vec![listener]);
    tokio::spawn(serve(listener, router, limits, std::future::pending()));
    address
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn bodies_in_flight_never_exceed_their_budget() {
    const ALL: usize = 512 * KB;
    let budget = ByteBudget::default().with_bodies(ALL, ALL);
    let limits = ServerLimits {
        budget: budget.clone(),
        ..ServerLimits::default()
    };
    let address = server(limits).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = b"POST /keep HTTP/1.1\r\nhost: here\r\ncontent-length: 65536\r\n\r\n";
        client.write_all(head).await.unwrap();
        // All but the last bytes, as slow clients do. Whoever is turned away closes early.
        let _ = client.write_all(&vec![b' '; 60_000]).await;
        clients.push(client);
        assert!(budget.bodies_held() <= ALL, "{}", budget.bodies_held());
    }
    until("the budget is used", || {
        budget.bodies_held() > ALL - 64 * KB
    })
    .await;
    let (mut turned_away, mut waiting) = (0, 0);
    for client in &mut clients {
        let mut answer = [0; 400];
        match timeout(Duration::from_millis(20), client.read(&mut answer)).await {
            Ok(Ok(length)) => {
                let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
                assert!(
                    answer.starts_with("http/1.1 503") || answer.starts_with("http/1.1 429"),
                    "{answer}"
                );
                assert!(
                    answer.contains("retry-after: 2") && answer.contains("come back"),
                    "{answer}"
                );
                turned_away += 1;
            }
            Ok(Err(_)) => turned_away += 1,
            Err(_) => waiting += 1,
        }
        assert!(budget.bodies_held() <= ALL);
    }
    assert!(waiting >= ALL / (64 * KB) - 1, "{waiting} bodies fit");
    assert!(turned_away >= 180, "{turned_away}");
    drop(clients);
    until("everything is given back", || budget.bodies_held() == 0).await;
}

/// A client whose window is closed: it never reads what it asks for.
async fn deaf(
    address: std::net::SocketAddr,
) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (send, mut connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let task = tokio::spawn(async move {
        let pinging = async {
            // As busy as can be, but for reading.
            while pings.ping(h2::Ping::opaque()).await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = connection => {}
            () = pinging => {}
        }
    });
    (send, task)
}

async fn ask(
    send: &mut h2::client::SendRequest<Bytes>,
    path: &str,
) -> axum::http::Response<h2::RecvStream> {
    let request = axum::http::Request::get(format!("http://here{path}"))
        .body(())
        .unwrap();
    let mut ready = send.clone().ready().await.unwrap();
    let (answer, _) = ready.send_request(request, true).unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_reader_that_never_reads_costs_at_most_half_a_mb() {
    const OF_ONE: usize = 512 * KB;
    let budget = ByteBudget::default().with_answers(4096 * KB, OF_ONE);
    let limits = ServerLimits {
        budget: budget.clone(),
        ..ServerLimits::default()
    };
    let address = server(limits).await;
    let mut held = Vec::new();
    let mut turned_away = 0;
    // Five connections with ninety streams each: 45 MB of answers.
    let mut clients = Vec::new();
    for _ in 0..5 {
        let (mut send, task) = deaf(address).await;
        for _ in 0..90 {
            let answer = ask(&mut send, "/large").await;
            if answer.status() == 429 {
                assert_eq!(answer.headers()["retry-after"], "2");
                turned_away += 1;
            }
            held.push(answer);
            assert!(budget.answers_held() <= OF_ONE, "{}", budget.answers_held());
        }
        clients.push((send, task));
    }
    assert_eq!(turned_away, 5 * 90 - OF_ONE / LARGE);
    drop((held, clients));
    until("everything is given back", || budget.answers_held() == 0).await;
}

#[tokio::test]
async fn a_reader_that_opens_its_window_by_a_byte_is_counted_all_the_same() {
    let budget = ByteBudget::default();
    let limits = ServerLimits {
        budget: budget.clone(),
        ..ServerLimits::default()
    };
    let address = server(limits).await;
    let (mut send, task) = deaf(address).await;
    let mut answer = ask(&mut send, "/large").await;
    answer
        .body_mut()
        .flow_control()
        .release_capacity(0)
        .unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(budget.answers_held(), LARGE);
    task.abort();
    drop((answer, send));
    until("everything is given back", || budget.answers_held() == 0).await;
}

#[tokio::test]
async fn pings_are_no_reading_and_a_deaf_connection_ends() {
    let budget = ByteBudget::default();
    let limits = ServerLimits {
        header_timeout: Duration::from_millis(300),
        silence: Duration::from_secs(1),
        budget: budget.clone(),
        ..ServerLimits::default()
    };
    let address = server(limits).await;
    let (mut send, task) = deaf(address).await;
    let begin = Instant::now();
    let _answer = ask(&mut send, "/small").await;
    assert_eq!(budget.answers_held(), 4 * KB);
    timeout(Duration::from_secs(10), task)
        .await
        .expect("the connection was never ended")
        .unwrap();
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    until("everything is given back", || budget.answers_held() == 0).await;
}

#[tokio::test]
async fn answers_that_are_read_go_on_for_as_long_as_they_like() {
    let budget = ByteBudget::default();
    let limits = ServerLimits {
        silence: Duration::from_millis(500),
        budget: budget.clone(),
        ..ServerLimits::default()
    };
    let address = server(limits).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    for _ in 0..20 {
        client
            .write_all(b"GET /small HTTP/1.1\r\nhost: here\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let is_whole = |answer: &[u8]| {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
            head.is_some_and(|head| answer.len() == head + 4 + 4 * KB)
        };
        while !is_whole(&answer) {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        sleep(Duration::from_millis(100)).await;
    }
    until("everything is given back", || budget.answers_held() == 0).await;
}
