//! Who gets through, what arrives, and that nobody is waited for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::sync::Arc;
use std::time::Duration;

use birthmark_ledger::KeyName;
use birthmark_link::{Channel, Hub, Identity, Incoming, LinkKey, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

fn key(number: u8) -> LinkKey {
    LinkKey::from_seed(&[number; 32]).unwrap()
}

fn name(number: u8) -> KeyName {
    format!("library-{number}.example").parse().unwrap()
}

fn message(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

struct End {
    hub: Hub,
    agreement: Receiver<Incoming>,
    pool: Receiver<Incoming>,
    task: JoinHandle<()>,
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn peer(number: u8, shown: u8, address: &str) -> Peer {
    Peer {
        name: name(number),
        address: address.to_owned(),
        identity: *key(shown).identity(),
    }
}

fn run(own: u8, peers: Vec<Peer>, listener: TcpListener) -> End {
    let hub = Hub::new(&peers);
    let (to_agreement, agreement) = channel(100);
    let (to_pool, pool) = channel(1);
    let running = hub.clone();
    let task = tokio::spawn(async move {
        let listeners = vec![listener];
        running
            .run(key(own), peers, listeners, to_agreement, to_pool)
            .await
            .unwrap();
    });
    End {
        hub,
        agreement,
        pool,
        task,
    }
}

async fn next(receiver: &mut Receiver<Incoming>) -> (KeyName, Vec<u8>) {
    timeout(Duration::from_secs(20), receiver.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn both_ends_hear_each_other_and_a_large_message_arrives_whole() {
    let ((l1, a1), (l2, a2)) = (listener().await, listener().await);
    let mut one = run(1, vec![peer(2, 2, &a2)], l1);
    let mut two = run(2, vec![peer(1, 1, &a1)], l2);
    assert!(
        one.hub
            .send(&name(2), Channel::Agreement, message("a vote"))
    );
    two.hub.broadcast(Channel::Agreement, &message("another"));
    assert_eq!(
        next(&mut two.agreement).await,
        (name(1), b"a vote".to_vec())
    );
    assert_eq!(
        next(&mut one.agreement).await,
        (name(2), b"another".to_vec())
    );
    let large: Arc<[u8]> = (0..9_000_000_u32).map(|n| n as u8).collect();
    one.hub
        .send(&name(2), Channel::Agreement, Arc::clone(&large));
    assert!(next(&mut two.agreement).await.1 == *large);
    assert!(one.hub.is_connected(&name(2)));
    assert!(
        !one.hub
            .send(&name(7), Channel::Agreement, message("to nobody"))
    );
    assert!(
        !one.hub
            .send(&name(2), Channel::Agreement, vec![0; 11 << 20].into())
    );
}

#[tokio::test]
async fn a_stranger_and_a_validator_with_another_key_are_refused() {
    let ((l1, a1), (l2, a2), (l3, _)) = (listener().await, listener().await, listener().await);
    let mut one = run(1, vec![peer(2, 2, &a2)], l1);
    // Whoever knows the address and calls itself by a member's name, but has another key.
    let stranger = run(9, vec![peer(1, 1, &a1)], l3);
    stranger
        .hub
        .send(&name(1), Channel::Agreement, message("let me in"));
    assert!(
        timeout(Duration::from_secs(2), one.agreement.recv())
            .await
            .is_err()
    );
    assert!(!stranger.hub.is_connected(&name(1)));
    // A member dials an address where somebody else sits.
    one.hub
        .send(&name(2), Channel::Agreement, message("a secret"));
    let mut two = run(9, vec![peer(1, 1, &a1)], l2);
    assert!(
        timeout(Duration::from_secs(2), two.agreement.recv())
            .await
            .is_err()
    );
    assert!(!one.hub.is_connected(&name(2)));
}

#[tokio::test]
async fn without_a_handshake_nothing_is_heard() {
    let (l1, a1) = listener().await;
    let mut one = run(1, Vec::new(), l1);
    let mut stream = TcpStream::connect(&a1).await.unwrap();
    stream.write_all(b"\x01\x00\x00\x00\x02hi").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(
        timeout(Duration::from_millis(200), one.agreement.recv())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_full_pool_makes_no_vote_wait() {
    let ((l1, a1), (l2, a2)) = (listener().await, listener().await);
    let one = run(1, vec![peer(2, 2, &a2)], l1);
    let mut two = run(2, vec![peer(1, 1, &a1)], l2);
    let load: Arc<[u8]> = vec![7; 1 << 20].into();
    for _ in 0..40 {
        one.hub.send(&name(2), Channel::Pool, Arc::clone(&load));
    }
    one.hub
        .send(&name(2), Channel::Agreement, message("a vote"));
    assert_eq!(next(&mut two.agreement).await.1, b"a vote");
    assert!(
        one.hub.lost(&name(2)) > 0,
        "the oldest of a full queue are given up"
    );
    assert_eq!(next(&mut two.pool).await.1.len(), 1 << 20);
}

#[tokio::test]
async fn a_validator_that_comes_back_is_linked_again() {
    let ((l1, a1), (l2, a2)) = (listener().await, listener().await);
    let one = run(1, vec![peer(2, 2, &a2)], l1);
    let mut two = run(2, vec![peer(1, 1, &a1)], l2);
    one.hub.send(&name(2), Channel::Agreement, message("first"));
    next(&mut two.agreement).await;
    two.task.abort();
    let _ = two.task.await;
    let l2 = TcpListener::bind(&a2).await.unwrap();
    let mut two = run(2, vec![peer(1, 1, &a1)], l2);
    let heard = async {
        loop {
            one.hub.send(&name(2), Channel::Agreement, message("again"));
            if let Ok(Some(heard)) = timeout(Duration::from_millis(200), two.agreement.recv()).await
            {
                return heard;
            }
        }
    };
    assert_eq!(
        timeout(Duration::from_secs(20), heard).await.unwrap().1,
        b"again"
    );
}

#[test]
fn identities_are_read_in_one_form() {
    let identity = *key(1).identity();
    assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
    assert_ne!(identity, *key(2).identity());
    assert!("xyz".parse::<Identity>().is_err());
}
