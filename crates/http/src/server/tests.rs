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

/// A server at a free port; its address, and what ends it.
async fn started(
    router: Router,
    limits: ServerLimits,
) -> (
    std::net::SocketAddr,
    tokio::sync::oneshot::Sender<()>,
    tokio::task::JoinHandle<()>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let served = tokio::spawn(serve(
        Listener::Tcp(vec![listener]),
        router,
        limits,
        async {
            let _ = stopped.await;
        },
    ));
    (address, stop, served)
}

fn quick() -> Router {
    Router::new().route("/", get(|| async { "quick" }))
}

async fn connect(address: std::net::SocketAddr) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(address).await.unwrap()
}

/// Asks on an open connection; the answer's beginning.
async fn ask(stream: &mut tokio::net::TcpStream) -> String {
    let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 1000];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// Whether the server closed a connection at once.
async fn is_closed(stream: &mut tokio::net::TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte));
    matches!(read.await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn one_client_s_connections_beyond_its_share_are_closed_at_once() {
    let limits = ServerLimits {
        connections_per_client: 2,
        ..ServerLimits::default()
    };
    let (address, _stop, _served) = started(quick(), limits).await;
    let (mut one, mut two) = (connect(address).await, connect(address).await);
    assert!(ask(&mut one).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut two).await.starts_with("HTTP/1.1 200"));
    assert!(is_closed(&mut connect(address).await).await);
    drop(one);
    // The place is free as soon as the server notices.
    let mut served = false;
    for _ in 0..100 {
        let mut next = connect(address).await;
        served = !is_closed(&mut next).await && ask(&mut next).await.contains("quick");
        if served {
            break;
        }
    }
    assert!(served);
}

#[tokio::test]
async fn beyond_all_connections_the_next_one_waits_for_its_turn() {
    let limits = ServerLimits {
        connections: 1,
        ..ServerLimits::default()
    };
    let (address, _stop, _served) = started(quick(), limits).await;
    let mut first = connect(address).await;
    assert!(ask(&mut first).await.contains("quick"));
    let mut second = connect(address).await;
    let early = tokio::time::timeout(Duration::from_millis(300), ask(&mut second));
    assert!(early.await.is_err(), "it was served beside the first");
    drop(first);
    let mut answer = [0; 1000];
    let turn = tokio::time::timeout(LONG / 4, second.read(&mut answer));
    let length = turn.await.expect("its turn never came").unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("quick"));
}

/// Nobody who asked before the order to stop is cut off, unless the answer takes longer than the
/// grace; nobody who asks afterwards is served.
#[tokio::test]
async fn after_the_order_to_stop_open_requests_are_answered_within_the_grace() {
    let slow = |time| {
        get(move || async move {
            tokio::time::sleep(time).await;
            "slow"
        })
    };
    for (time, is_answered) in [(400, true), (60_000, false)] {
        let router = Router::new().route("/", slow(Duration::from_millis(time)));
        let limits = ServerLimits {
            grace: Duration::from_secs(3),
            ..ServerLimits::default()
        };
        let (address, stop, served) = started(router, limits).await;
        let mut idle = connect(address).await;
        let mut asking = connect(address).await;
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        asking.write_all(request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send(()).unwrap();
        if is_answered {
            assert!(rest(asking).await.contains("slow"));
            assert!(is_closed(&mut idle).await);
        }
        let ended = tokio::time::timeout(LONG / 6, served).await;
        ended.expect("the server never ended").unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_head_beyond_its_room_is_refused_and_not_kept() {
    let (address, _stop, _served) = started(quick(), ServerLimits::default()).await;
    let mut stream = connect(address).await;
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    // Whoever is refused in the middle may be closed before the end.
    let _ = stream.write_all(&vec![b'x'; 200 * 1024]).await;
    let mut answer = [0; 100];
    let read = tokio::time::timeout(LONG / 4, stream.read(&mut answer)).await;
    match read.expect("it was kept") {
        Ok(length) => {
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(
                length == 0 || answer.starts_with("HTTP/1.1 431"),
                "{answer}"
            );
        }
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn a_caller_on_this_machine_is_known_by_the_kernel_s_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let who = |request: Request<Body>| async move {
        match request.extensions().get::<Peer>() {
            Some(Peer::Unix { uid }) => format!("user {uid}."),
            other => format!("{other:?}"),
        }
    };
    let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
    let router = Router::new().route("/", get(who));
    let limits = ServerLimits::default();
    tokio::spawn(serve(listener, router, limits, std::future::pending()));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let own = rustix::process::getuid().as_raw();
    assert!(answer.ends_with(&format!("user {own}.")), "{answer}");
}
