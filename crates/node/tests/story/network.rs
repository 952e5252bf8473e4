//! Four validators of one registry, each a process of its own with its own database: what one of
//! them takes is registered by all, one may be killed, two may not, and a stranger is not heard.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use birthmark_daemon::Credentials;
use birthmark_ledger::{
    ChainId, Genesis, Receipt, SignedCheckpoint, Trusted, ValidatorSet, verify_receipt,
};
use birthmark_link::{Channel, Hub, LinkKey, Peer};
use birthmark_node::registry::Registry;
use birthmark_node::settings::{NetworkSettings, PeerSettings};
use birthmark_node::store::Store;
use birthmark_node::{identity, setup};
use birthmark_protocol::{Digest, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World};

pub struct Member {
    pub world: World,
    pub process: Option<Process>,
}

pub struct Network {
    pub members: Vec<Member>,
    pub genesis: Genesis,
    camera: Camera,
    _authority: Authority,
    _folder: tempfile::TempDir,
}

fn free_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Network {
    /// Machines with one authority and one genesis, which names only the first of them as
    /// validators; all know one another, and nothing runs.
    pub async fn founded_by(size: usize, founders: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::found(folder.path()).await;
        let camera = Camera::new(&authority, "CAM-0001").await;
        let world = |number: usize| {
            let name = format!("library-{number}.example");
            let folder = tempfile::tempdir().unwrap();
            let mut world =
                World::prepare_named(Base::Sqlite, folder, vec![authority.entry()], &name);
            at_a_free_port(&mut world);
            world
        };
        let mut worlds: Vec<_> = (0..size).map(world).collect();
        let entries = worlds
            .iter()
            .take(founders)
            .map(|world| world.genesis.validators.at(0).unwrap().clone());
        let genesis = setup::genesis(
            ChainId::new("test.example/registry").unwrap(),
            Timestamp::from_unix(1_700_000_000),
            false,
            entries.collect(),
        )
        .unwrap();
        let peer = |world: &World| PeerSettings {
            name: world.genesis.validators.at(0).unwrap().name.clone(),
            address: free_port().to_string(),
            identity: *identity::link_key(&Credentials::at(world.credentials()))
                .unwrap()
                .identity(),
        };
        let peers: Vec<_> = worlds.iter().map(peer).collect();
        for (number, world) in worlds.iter_mut().enumerate() {
            let path = world.folder.path().join("genesis.toml");
            std::fs::remove_file(&path).unwrap();
            setup::write_genesis(&path, &genesis).unwrap();
            let others = peers
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number);
            world.settings.network = Some(NetworkSettings {
                follow: false,
                listen: peers[number].address.parse().unwrap(),
                log: None,
                peers: others.map(|(_, peer)| peer.clone()).collect(),
            });
            world.genesis = genesis.clone();
        }
        let members = worlds.into_iter().map(|world| Member {
            world,
            process: None,
        });
        Self {
            members: members.collect(),
            genesis,
            camera,
            _authority: authority,
            _folder: folder,
        }
    }

    pub async fn started(size: usize) -> Self {
        Self::started_by(size, size).await
    }

    pub async fn started_by(size: usize, founders: usize) -> Self {
        let mut network = Self::founded_by(size, founders).await;
        for number in 0..size {
            network.start(number);
        }
        for number in 0..size {
            network.healthy(number).await;
        }
        network
    }

    pub fn start(&mut self, number: usize) {
        let member = &mut self.members[number];
        member.process = Some(Process::start(&member.world));
    }

    pub async fn healthy(&mut self, number: usize) {
        let Member { world, process } = &mut self.members[number];
        process.as_mut().unwrap().healthy(world).await;
    }

    pub fn kill(&mut self, number: usize) {
        self.members[number].process.take().unwrap().kill();
    }

    pub fn world(&self, number: usize) -> &World {
        &self.members[number].world
    }

    /// What a member answers to a new photo that it does not take.
    pub async fn turned_away(&self, number: usize) -> String {
        let body = self.camera.certificate_plan(digest(), now());
        let world = self.world(number);
        let (status, answer) = world.post("/api/v1/submit-cert", &body).await;
        assert_eq!(status, 503, "{answer}");
        answer["detail"].as_str().unwrap().to_owned()
    }

    /// Submits a new photo; what is accepted must never be lost.
    pub async fn submit(&self, number: usize) -> (Digest, String) {
        let photo = digest();
        let body = self.camera.certificate_plan(photo, now());
        (
            photo,
            self.world(number)
                .submit("/api/v1/submit-cert", &body)
                .await,
        )
    }

    /// Waits until these members answer that the photo is registered.
    pub async fn registered(&self, photo: &Digest, members: &[usize]) -> Duration {
        let began = Instant::now();
        for number in members {
            loop {
                let (_, answer) = self.world(*number).verify(photo).await;
                if answer["verified"] == true {
                    break;
                }
                let log = self.world(*number).folder.path().join("node.log");
                assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "member {number}: {answer}\n{}",
                    std::fs::read_to_string(log).unwrap()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        began.elapsed()
    }

    pub async fn blocks(&self, number: usize) -> Vec<Vec<u8>> {
        let store = Store::open(&self.world(number).settings.database)
            .await
            .unwrap();
        let registry = Registry::open(store, self.genesis.clone()).await.unwrap();
        let mut blocks = Vec::new();
        for height in 1..=registry.tip().height().get() {
            let decided = registry.block(height).await.unwrap().unwrap();
            blocks.push(decided.bytes.clone());
        }
        registry.store().close().await;
        blocks
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_validators_register_one_history_and_survive_the_loss_of_one() {
    let mut network = Network::started(4).await;
    let (first, id) = network.submit(0).await;
    network.registered(&first, &[0, 1, 2, 3]).await;

    // Its receipt is signed by three of four, and two are not enough.
    let fate = network.world(0).stored(&id).await;
    let receipt: Receipt = serde_json::from_value(fate["receipt"].clone()).unwrap();
    let trusted = Trusted::genesis(&network.genesis);
    verify_receipt(&receipt, &trusted).unwrap();
    let mut fewer = receipt.clone();
    assert!(fewer.certificate.signatures.len() >= 3);
    fewer.certificate.signatures.truncate(2);
    let refused = verify_receipt(&fewer, &trusted).unwrap_err().to_string();
    assert!(
        refused.contains("2 of 4 validators signed; 3 are needed"),
        "{refused}"
    );

    // All four cosign the checkpoint.
    let mut cosigners = BTreeSet::new();
    for _ in 0..200 {
        let url = format!("{}/api/v1/checkpoint", network.world(2).url);
        let note = crate::world::client()
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let signed = SignedCheckpoint::parse(&note).unwrap();
        let set: &ValidatorSet = &network.genesis.validators;
        cosigners = signed.cosigners(set).unwrap().into_keys().collect();
        if cosigners.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(cosigners.len(), 4, "{cosigners:?}");

    network.kill(3);
    for number in [0, 1, 2, 0, 1] {
        let (photo, _) = network.submit(number).await;
        network.registered(&photo, &[0, 1, 2]).await;
    }
    // The others see who is missing, and say so.
    let away = |status: &Value| {
        let members = status["members"].as_array().unwrap();
        let away = members
            .iter()
            .find(|one| one["name"] == "library-3.example");
        away.unwrap().clone()
    };
    let missing = |status: &Value| {
        let one = away(status);
        one["is_linked"] == false && one["votes_missed"].as_u64().unwrap() >= 3
    };
    let mut status = Value::Null;
    for _ in 0..200 {
        status = network.world(0).get("/api/v1/status").await.1;
        if missing(&status) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(missing(&status), "{status:#}");
    assert_eq!(status["members"].as_array().unwrap().len(), 3);
    let page = format!("{}/status", network.world(0).url);
    let page = crate::world::client().get(page).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("library-3.example"), "{page}");
    assert!(page.contains("of its last"), "{page}");
    network.kill(2);
    let (waits, _) = network.submit(1).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (_, answer) = network.world(0).verify(&waits).await;
    assert_eq!(answer["verified"], false, "two of four decide nothing");
    network.start(2);
    network.healthy(2).await;
    network.registered(&waits, &[0, 1, 2]).await;
    network.start(3);
    network.healthy(3).await;
    network.registered(&waits, &[3]).await;
    // The one that came back counts again.
    network.kill(0);
    let (last, _) = network.submit(3).await;
    network.registered(&last, &[1, 2, 3]).await;
    for number in [1, 2, 3] {
        network.kill(number);
    }
    let histories = [
        network.blocks(1).await,
        network.blocks(2).await,
        network.blocks(3).await,
    ];
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0], histories[2]);
    let shorter = network.blocks(0).await;
    assert!(histories[0].starts_with(&shorter), "no fork");
    assert!(shorter.len() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_killed_under_load_lose_nothing_that_was_accepted() {
    let mut network = Network::started(4).await;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        for number in 0..4 {
            for _ in 0..5 {
                accepted.push(network.submit(number).await.0);
            }
        }
        for number in 0..4 {
            network.kill(number);
        }
        for number in 0..4 {
            network.start(number);
        }
        for number in 0..4 {
            network.healthy(number).await;
        }
    }
    for photo in &accepted {
        network.registered(photo, &[0, 1, 2, 3]).await;
    }
    for number in 0..4 {
        network.kill(number);
    }
    let first = network.blocks(0).await;
    for number in 1..4 {
        let other = network.blocks(number).await;
        let shared = first.len().min(other.len());
        assert_eq!(first[..shared], other[..shared], "no fork");
    }
}

/// A photo is in the next block, whoever's turn it is and whoever took it, and nobody makes blocks
/// with nothing in them.
#[tokio::test(flavor = "multi_thread")]
async fn one_photo_after_another_is_in_the_next_block_whoever_took_it() {
    let mut network = Network::started(4).await;
    for _ in 0..6 {
        let (photo, _) = network.submit(1).await;
        network.registered(&photo, &[0, 1, 2, 3]).await;
    }
    for number in 0..4 {
        network.kill(number);
    }
    let blocks = network.blocks(0).await.len();
    // The others may begin the first block before their links are there.
    assert!(blocks <= 8, "{blocks} blocks for 6 photos");
}

/// A member whose log cannot be written stops voting for good. What it has is still answered,
/// however much the others talk to it, and whoever asks it to end learns from its exit status that
/// starting it again does not help.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_for_safety_reads_stay_up_until_somebody_ends_it() {
    let mut network = Network::started(4).await;
    let (first, _) = network.submit(0).await;
    network.registered(&first, &[0, 1, 2, 3]).await;
    let log = network.world(3).settings.consensus_log().unwrap();
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::write(&log, "no folder").unwrap();
    for number in [0, 1, 2] {
        let (photo, _) = network.submit(number).await;
        network.registered(&photo, &[0, 1, 2]).await;
    }
    let ill = async |network: &Network| network.world(3).get("/health").await.0 == 503;
    for _ in 0..200 {
        if ill(&network).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The others say every five seconds how far they are.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(ill(&network).await, "it says that it takes no part");
    let (_, answer) = network.world(3).verify(&first).await;
    assert_eq!(answer["verified"], true, "what it has is still answered");
    let process = network.members[3].process.as_mut().unwrap();
    assert_eq!(process.ended_when_asked(), Some(76));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_is_refused_and_what_a_member_pushes_is_judged() {
    let mut network = Network::started(4).await;
    let world = network.world(0);
    let settings = world.settings.network.as_ref().unwrap();
    let own = *identity::link_key(&Credentials::at(world.credentials()))
        .unwrap()
        .identity();
    let first = Peer {
        name: "library-0.example".parse().unwrap(),
        address: settings.listen.to_string(),
        identity: own,
    };
    let dial = |key: LinkKey| {
        let hub = Hub::new(std::slice::from_ref(&first));
        let (running, peers) = (hub.clone(), vec![first.clone()]);
        let (sender, _) = tokio::sync::mpsc::channel(1);
        let task = tokio::spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            running
                .run(key, peers, vec![listener], sender.clone(), sender)
                .await
                .unwrap();
        });
        (hub, task)
    };
    let (stranger, task) = dial(LinkKey::from_seed(&[66; 32]).unwrap());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        !stranger.is_connected(&first.name),
        "a stranger's key is refused"
    );
    task.abort();

    // A member that went bad: it has its key, and pushes what nobody vouched for.
    let key = identity::link_key(&Credentials::at(network.world(3).credentials())).unwrap();
    network.kill(3);
    let (liar, task) = dial(key);
    for _ in 0..200 {
        if liar.is_connected(&first.name) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(liar.is_connected(&first.name));
    for push in [
        &b"\x01\x00\x00\x00\x04junk"[..],
        b"\x01\xff\xff\xff\xff",
        b"\x02short",
        b"\x07",
    ] {
        liar.send(&first.name, Channel::Pool, push.into());
        liar.send(&first.name, Channel::Agreement, push.into());
    }
    let (photo, _) = network.submit(0).await;
    network.registered(&photo, &[0, 1, 2]).await;
    task.abort();
}
