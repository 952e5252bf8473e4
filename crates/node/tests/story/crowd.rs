//! Ten thousand connections that say nothing, half of something, or ask and never read: nobody else
//! notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World, client};

const CROWD: usize = 10_000;
/// So many keep coming that at any time so many are there, even where everything is slow.
const COMING: usize = CROWD * 16 / 10;
/// What one idle connection may cost the node.
const KB_EACH: u64 = 32;
/// What members of the crowd send before they fall silent.
const SENT: [&str; 4] = [
    "",
    "GET /api/v1/sta",
    "POST /api/v1/submit-cert HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{\"image_hash\":",
    "GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
];

/// Allows this process as many open files as the system lets it; how many connections that leaves,
/// and to be open at once.
fn room_for_a_crowd() -> (usize, usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let files = limit
        .maximum
        .map_or(2 * COMING, |most| usize::try_from(most).unwrap());
    let room = COMING.min(files.saturating_sub(500));
    let at_once = CROWD.min(room * CROWD / COMING);
    if at_once < CROWD {
        eprintln!("only {files} files may be open here: the crowd has {at_once} members");
    }
    (room, at_once)
}

/// From one of twenty addresses, as a crowd has many.
async fn connect(number: usize, node: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = 2 + u8::try_from(number % 20).unwrap();
    socket.bind(([127, 0, 0, last], 0).into())?;
    socket.connect(node).await
}

/// Comes back whenever it is cut off, until the crowd leaves.
async fn idle(number: usize, node: SocketAddr, leaving: Arc<AtomicBool>) {
    while !leaving.load(Ordering::Relaxed) {
        let Ok(mut connection) = connect(number, node).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let sent = SENT[number % SENT.len()].as_bytes();
        let _ = connection.write_all(sent).await;
        let _ = connection.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_waiting_and_cost_little() {
    let (coming, at_once) = room_for_a_crowd();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    at_a_free_port(&mut world);
    let mut node = Process::start(&world);
    node.healthy(&world).await;
    let (files, memory) = (node.open_files(), node.resident_kb());

    let (address, leaving) = (world.settings.http.listen, Arc::new(AtomicBool::new(false)));
    let mut crowd = JoinSet::new();
    for number in 0..coming {
        crowd.spawn(idle(number, address, Arc::clone(&leaving)));
    }
    // Some are always just being cut off or coming back.
    let mut most = 0;
    for _ in 0..1200 {
        most = most.max(node.open_files().saturating_sub(files));
        if most >= at_once {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(most >= at_once, "only {most} came in");

    for _ in 0..5 {
        let photo = world.registered(&camera).await;
        assert_eq!(world.verify(&photo).await.0, 200);
        assert_eq!(world.verify(&digest()).await.0, 404);
    }
    let grown = node.resident_kb().saturating_sub(memory);
    eprintln!("{most} idle connections cost {grown} kB");
    assert!(grown < KB_EACH * most as u64, "{grown} kB");

    // Nobody hangs up by himself: the node ends every one of them. (What it never accepted, it need
    // not end.)
    leaving.store(true, Ordering::Relaxed);
    for _ in 0..3000 {
        if node.open_files() <= files + 10 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Fewer than before, where the database's idle connections went as well.
    let left = node.open_files().saturating_sub(files);
    assert!(left <= 10, "{left} connections were never cut off");
    crowd.shutdown().await;
    assert_eq!(world.get("/health").await.0, 200);
    drop((node, authority));
}

/// Opens an event stream; none if the connection was closed at once.
async fn listen(world: &World) -> Option<reqwest::Response> {
    let path = format!("{}/api/v1/events/blocks", world.url);
    client().get(path).send().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_only_its_share_of_the_connections() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::prepare(Base::Sqlite, folder, Vec::new());
    world.settings.limits.connections_per_client = 3;
    world.start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(listen(&world).await.unwrap());
    }
    assert!(listen(&world).await.is_none());
    // Others are not touched.
    let mut other = connect(0, world.url["http://".len()..].parse().unwrap())
        .await
        .unwrap();
    other
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // What it gives back, it has again.
    held.clear();
    for _ in 0..200 {
        if listen(&world).await.is_some() {
            return world.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a place was never given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_listens_leaves_room_for_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::prepare(Base::Sqlite, folder, Vec::new());
    world.settings.limits.event_readers = 2;
    world.start().await;
    let held = [listen(&world).await.unwrap(), listen(&world).await.unwrap()];
    assert!(held.iter().all(|answer| answer.status() == 200));
    let refused = listen(&world).await.unwrap();
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers().contains_key("retry-after")
        ),
        (503, true)
    );
    assert_eq!(world.get("/health").await.0, 200);
    drop(held);
    for _ in 0..200 {
        if listen(&world).await.unwrap().status() == 200 {
            return world.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a listener's place was never given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_at_most_eight_seats() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::prepare(Base::Sqlite, folder, Vec::new());
    world.start().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(listen(&world).await.unwrap());
    }
    assert!(held.iter().all(|answer| answer.status() == 200));
    let refused = listen(&world).await.unwrap();
    assert_eq!(refused.status(), 429, "there are a thousand seats in all");
    assert!(refused.headers().contains_key("retry-after"));
    drop((held, refused));
    world.stop().await;
}
