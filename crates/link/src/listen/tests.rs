use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Dialled;

use super::*;

/// Long enough for what must happen, and for nothing that waits for a time of ours to pass.
const SOON: Duration = Duration::from_secs(5);

fn key(number: u8) -> LinkKey {
    LinkKey::from_seed(&[number; 32]).unwrap()
}

fn peer(number: u8, address: &str) -> Peer {
    Peer {
        name: format!("library-{number}.example").parse().unwrap(),
        address: address.into(),
        identity: *key(number).identity(),
    }
}

/// A listener of validator 1 who knows validator 2: its address, and what comes in.
async fn listening() -> (
    SocketAddr,
    mpsc::Receiver<Incoming>,
    mpsc::Receiver<Incoming>,
) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (agreement, votes) = mpsc::channel(8);
    let (pool, entries) = mpsc::channel(8);
    let acceptor = Acceptor::new(&key(1), &[peer(2, "")], agreement, pool).unwrap();
    tokio::spawn(acceptor.accept(listener));
    (([127, 0, 0, 1], port).into(), votes, entries)
}

/// A handshake as validator 2, from one of this machine's addresses, up to the channel.
async fn dial(to: SocketAddr, from: &str) -> io::Result<Dialled<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    let stream = socket.connect(to).await?;
    let connector = TlsConnector::from(tls::client(&key(2), &peer(1, ""))?);
    connector.connect(tls::any_name(), stream).await
}

async fn open(to: SocketAddr, channel: u8) -> io::Result<Dialled<TcpStream>> {
    let mut stream = dial(to, "127.0.0.1").await?;
    stream.write_u8(channel).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        KNOWN => Ok(stream),
        other => panic!("{other}"),
    }
}

async fn say(stream: &mut Dialled<TcpStream>, message: &[u8]) {
    let length = u32::try_from(message.len()).unwrap();
    stream.write_u32(length).await.unwrap();
    stream.write_all(message).await.unwrap();
    stream.flush().await.unwrap();
}

async fn heard(receiver: &mut mpsc::Receiver<Incoming>) -> Vec<u8> {
    let (name, message) = timeout(SOON, receiver.recv()).await.unwrap().unwrap();
    assert_eq!(name, peer(2, "").name);
    message
}

/// Whether the other end is gone.
async fn ends(mut stream: Dialled<TcpStream>) -> bool {
    let read = timeout(SOON, stream.read_u8()).await;
    read.expect("it was kept open").is_err()
}

#[tokio::test]
async fn each_channel_has_its_receiver_and_an_empty_message_is_none() {
    let (address, mut votes, mut entries) = listening().await;
    let mut agreement = open(address, 1).await.unwrap();
    let mut pool = open(address, 2).await.unwrap();
    say(&mut pool, b"an entry").await;
    say(&mut agreement, b"").await;
    say(&mut agreement, b"a vote").await;
    assert_eq!(heard(&mut votes).await, b"a vote");
    assert_eq!(heard(&mut entries).await, b"an entry");
    assert!(open(address, 3).await.is_err(), "an unknown channel");
}

/// A validator that was restarted dials anew while its old connection is not known to be dead.
#[tokio::test]
async fn a_newer_connection_takes_the_place_of_the_one_before_on_its_channel() {
    let (address, mut votes, _entries) = listening().await;
    let old = open(address, 1).await.unwrap();
    let mut other_channel = open(address, 2).await.unwrap();
    let mut new = open(address, 1).await.unwrap();
    assert!(ends(old).await);
    say(&mut new, b"a vote").await;
    assert_eq!(heard(&mut votes).await, b"a vote");
    // The other channel's is not touched.
    say(&mut other_channel, b"an entry").await;
    let read = timeout(Duration::from_millis(100), other_channel.read_u8()).await;
    assert!(read.is_err(), "still open");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let (address, mut votes, _entries) = listening().await;
    let mut stream = open(address, 1).await.unwrap();
    let length = u32::try_from(MAX_FRAME + 1).unwrap();
    stream.write_u32(length).await.unwrap();
    stream.flush().await.unwrap();
    assert!(ends(stream).await);
    assert!(votes.try_recv().is_err());
}

/// A stranger who begins handshakes and never ends one keeps nobody else out.
#[tokio::test]
async fn stalled_handshakes_of_one_address_keep_no_validator_out() {
    let (address, _votes, _entries) = listening().await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        stalled.push(TcpStream::connect(address).await.unwrap());
    }
    let validator = timeout(SOON, dial(address, "127.0.0.2")).await;
    let mut stream = validator.expect("it was kept waiting").unwrap();
    stream.write_u8(1).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), KNOWN);
    // Those beyond the share were closed at once.
    let mut closed = 0;
    for mut one in stalled {
        let read = timeout(Duration::from_millis(20), one.read_u8()).await;
        closed += usize::from(read.is_ok());
    }
    assert_eq!(closed, 200 - 32);
}

/// Neither an older TLS nor another protocol nor a client without a key gets anything.
#[tokio::test]
async fn other_protocols_get_nothing() {
    let (address, mut votes, _entries) = listening().await;
    for arguments in [
        &["-tls1_2"][..],
        &["-tls1_3"],
        &["-tls1_3", "-alpn", "http/1.1"],
        &["-tls1_3", "-alpn", "birthmark-link/1"],
    ] {
        let mut client = tokio::process::Command::new("openssl");
        client
            .args(["s_client", "-quiet", "-connect", &address.to_string()])
            .args(arguments)
            .stdin(std::process::Stdio::null());
        let output = timeout(SOON * 4, client.output()).await.unwrap().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(SOON, plain.read_to_end(&mut answer)).await;
    // Rustls says why in an alert, which is no answer of ours.
    let _ = read.expect("it was kept open");
    assert!(
        !answer.contains(&KNOWN) || answer.first() == Some(&0x15),
        "{answer:?}"
    );
    assert!(votes.try_recv().is_err());
}

#[tokio::test]
async fn a_message_is_read_whole_or_not_at_all() {
    let framed = |length: u32, bytes: &[u8]| [&length.to_be_bytes()[..], bytes].concat();
    let read = async |bytes: Vec<u8>| {
        let mut bytes = bytes.as_slice();
        read_message(&mut bytes).await
    };
    assert_eq!(read(framed(3, b"abcd")).await.unwrap(), b"abc");
    assert_eq!(read(framed(0, b"abcd")).await.unwrap(), b"");
    for short in [framed(3, b"ab"), framed(3, b""), vec![0, 0, 1]] {
        let error = read(short).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    let largest = u32::try_from(MAX_FRAME).unwrap();
    let whole = read(framed(largest, &vec![7; MAX_FRAME])).await.unwrap();
    assert_eq!(whole.len(), MAX_FRAME);
    let larger = read(framed(largest + 1, &vec![7; MAX_FRAME + 1])).await;
    assert!(larger.unwrap_err().to_string().contains("10485761 bytes"));
}
