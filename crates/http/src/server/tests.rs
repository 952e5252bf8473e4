use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const HEADER_TIME: Duration = Duration::from_millis(300);
/// Nothing here may be ended by silence.
const LONG: Duration = Duration::from_secs(60);

/// A connection to a server whose one page takes three times as long as a head may.
async fn connected() -> tokio::net::TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = || async {
        tokio::time::sleep(3 * HEADER_TIME).await;
        "slow"
    };
    let limits = ServerLimits {
        header_timeout: HEADER_TIME,
        silence: LONG,
        ..ServerLimits::default()
    };
    let router = Router::new().route("/", get(slow));
    tokio::spawn(serve(
        Listener::Tcp(vec![listener]),
        router,
        limits,
        std::future::pending(),
    ));
    tokio::net::TcpStream::connect(address).await.unwrap()
}

/// Everything until the server closes.
async fn rest(mut stream: tokio::net::TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(LONG / 2, stream.read_to_string(&mut text));
    read.await
        .expect("the connection was never closed")
        .unwrap();
    text
}

#[tokio::test]
async fn half_a_head_is_waited_for_only_so_long() {
    let mut stream = connected().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_slow_answer_is_not_cut_off_and_the_next_head_is_waited_for_only_so_long() {
    let mut stream = connected().await;
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    // The second begins while the first is answered, and never ends.
    stream.write_all(request).await.unwrap();
    stream.write_all(&request[..9]).await.unwrap();
    let text = rest(stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nslow"));
    assert_eq!(text.matches("HTTP/1.1").count(), 1);
}
