//! What strangers can do to a validator and its authority, by name, against the built programs:
//! the memory and the disk of both stay flat, and one genuine camera's photos go through.
//!
//! The test command runs each attack for a second. `cargo xtask abuse` runs them for longer, prints
//! what was asked and answered, and holds every photo to [`PATIENCE`]; a short run on a busy
//! machine only asks that each photo goes through.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use birthmark_node::settings::LimitSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::process::{Process, at_a_free_port};
use crate::world::{Base, World};

/// How long a photo of the genuine camera may take while strangers do what they can.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much memory each of the two programs may hold more than before the first attack.
const MEMORY_KB: u64 = 64 * 1024;
/// How much each attack may leave on a disk, beside the photos that went through meanwhile.
const DISK_KB: u64 = 8 * 1024;
/// So many strangers ask at once. They come from twenty addresses.
const STRANGERS: usize = 60;
/// Made before an attack begins, so that making them costs it nothing.
const BODIES: usize = 400;

/// What an attack finds: where to knock, and what it can send.
struct Ground {
    node: SocketAddr,
    authority: SocketAddr,
    /// A photo that is registered.
    photo: String,
    of_an_authority_that_is_away: Vec<String>,
    with_a_stolen_certificate: Vec<String>,
    with_a_token_of_another: Vec<String>,
    asked: AtomicU64,
    taken: AtomicU64,
    turned_away: AtomicU64,
}

type Act<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One attack: its name, and what one stranger does over and over.
struct Attack {
    name: &'static str,
    act: for<'a> fn(&'a Ground, usize) -> Act<'a>,
}

const ATTACKS: [Attack; 16] = [
    Attack {
        name: "heads that never end",
        act: |ground, who| Box::pin(ground.stall(who, ground.node, HALF_HEAD)),
    },
    Attack {
        name: "bodies that never end",
        act: |ground, who| Box::pin(ground.stall(who, ground.node, HALF_BODY)),
    },
    Attack {
        name: "answers that nobody reads",
        act: |ground, who| Box::pin(ground.never_read(who)),
    },
    Attack {
        name: "listeners to blocks",
        act: |ground, who| Box::pin(ground.stall(who, ground.node, LISTEN)),
    },
    Attack {
        name: "the longest lists of digests",
        act: |ground, who| Box::pin(ground.long_list(who)),
    },
    Attack {
        name: "the family of a photo",
        act: |ground, who| {
            Box::pin(ground.get(
                who,
                ground.node,
                format!("/api/v1/provenance/{}", ground.photo),
            ))
        },
    },
    Attack {
        name: "lookups of what is not there",
        act: |ground, who| {
            Box::pin(ground.get(who, ground.node, format!("/api/v1/verify/{}", digest())))
        },
    },
    Attack {
        name: "addresses that do not exist",
        act: |ground, who| Box::pin(ground.get(who, ground.node, format!("/{}", digest()))),
    },
    Attack {
        name: "photos for an authority that is away",
        act: |ground, who| Box::pin(ground.submit(who, &ground.of_an_authority_that_is_away)),
    },
    Attack {
        name: "a published certificate without its key",
        act: |ground, who| Box::pin(ground.submit(who, &ground.with_a_stolen_certificate)),
    },
    Attack {
        name: "a token of another camera",
        act: |ground, who| Box::pin(ground.submit(who, &ground.with_a_token_of_another)),
    },
    Attack {
        name: "questions about made-up cameras",
        act: |ground, who| {
            Box::pin(ground.post(who, ground.authority, "/validate", made_up_question()))
        },
    },
    Attack {
        name: "long lists of questions",
        act: |ground, who| {
            Box::pin(ground.post(
                who,
                ground.authority,
                "/api/v1/validate/batch",
                long_question(),
            ))
        },
    },
    Attack {
        name: "OCSP about made-up certificates",
        act: |ground, who| {
            Box::pin(async move {
                ground
                    .ask(
                        who,
                        ground.authority,
                        &request("POST", "/ocsp", made_up_ocsp()),
                    )
                    .await;
            })
        },
    },
    Attack {
        name: "the lists of what was revoked",
        act: |ground, who| Box::pin(ground.get(who, ground.authority, "/crl".into())),
    },
    Attack {
        name: "guessed enrolment tokens",
        act: |ground, who| {
            Box::pin(ground.post(who, ground.authority, "/api/v1/devices/provision", json!({"device_serial": digest().to_string(), "device_family": "X", "enrolment_token": digest().to_string(), "device_public_key": "-----BEGIN PUBLIC KEY-----"}).to_string()))
        },
    },
];

const HALF_HEAD: &str = "GET /api/v1/status HTTP/1.1\r\nhost: x\r\nx-";
const HALF_BODY: &str = "POST /api/v1/submit-cert HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{\"image_hash\":\"";
const LISTEN: &str = "GET /api/v1/events/blocks HTTP/1.1\r\nhost: x\r\n\r\n";

fn made_up_question() -> String {
    let token = json!({"ciphertext": digest().to_string(), "auth_tag": "00".repeat(16), "nonce": "00".repeat(12)});
    json!({"camera_token": token, "manufacturer_authority_id": "test-maker", "table_id": 1, "key_index": 1}).to_string()
}

fn long_question() -> String {
    let questions: Vec<Value> = (0..500)
        .map(|_| json!({"commitment": digest().to_string(), "certificate": digest().to_string()}))
        .collect();
    json!({"questions": questions}).to_string()
}

/// A well-formed question about a certificate that nobody issued: version 1, one SHA-256
/// identifier.
fn made_up_ocsp() -> Vec<u8> {
    let serial: [u8; 16] = crate::camera::random();
    let (name, key): ([u8; 32], [u8; 32]) = (crate::camera::random(), crate::camera::random());
    let algorithm = [
        0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
    ];
    let id = [
        &algorithm[..],
        &[0x04, 32],
        &name,
        &[0x04, 32],
        &key,
        &[0x02, 17, 0],
        &serial,
    ]
    .concat();
    (0..4).fold(id, |inner, _| {
        let length = u8::try_from(inner.len()).unwrap();
        let head = if length < 128 {
            vec![0x30, length]
        } else {
            vec![0x30, 0x81, length]
        };
        [head, inner].concat()
    })
}

/// From one of twenty addresses, none of which is the camera's.
async fn connect(who: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = 2 + u8::try_from(who % 20).unwrap();
    socket.bind(([127, 0, 0, last], 0).into())?;
    socket.connect(to).await
}

impl Ground {
    /// Says something unfinished and waits to be cut off.
    async fn stall(&self, who: usize, to: SocketAddr, said: &str) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let Ok(mut connection) = connect(who, to).await else {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let _ = connection.write_all(said.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        self.count(&answer);
    }

    /// Asks for long answers on one connection, and reads none.
    async fn never_read(&self, who: usize) {
        let body = json!({"image_hashes": vec![&self.photo; 1000]}).to_string();
        // Many at once on a connection that stays: the answers pile up unread.
        let text = format!(
            "POST /api/v1/verify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let request = text.into_bytes();
        let Ok(mut connection) = connect(who, self.node).await else {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let asking = async {
            while connection.write_all(&request).await.is_ok() {
                self.asked.fetch_add(1, Ordering::Relaxed);
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(30), asking).await;
    }

    async fn long_list(&self, who: usize) {
        let digests: Vec<String> = (0..1000).map(|_| digest().to_string()).collect();
        let body = json!({"image_hashes": digests}).to_string();
        self.post(who, self.node, "/api/v1/verify", body).await;
    }

    async fn submit(&self, who: usize, bodies: &[String]) {
        let place = self.asked.load(Ordering::Relaxed) as usize + who;
        let body = bodies[place % bodies.len()].clone();
        self.post(who, self.node, "/api/v1/submit-cert", body).await;
    }

    async fn get(&self, who: usize, to: SocketAddr, path: String) {
        self.ask(who, to, &request("GET", &path, "")).await;
    }

    async fn post(&self, who: usize, to: SocketAddr, path: &str, body: String) {
        self.ask(who, to, &request("POST", path, &body)).await;
    }

    async fn ask(&self, who: usize, to: SocketAddr, request: &[u8]) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answer = Vec::new();
        if let Ok(mut connection) = connect(who, to).await {
            let _ = connection.write_all(request).await;
            let _ = connection.read_to_end(&mut answer).await;
        }
        self.count(&answer);
    }

    fn count(&self, answer: &[u8]) {
        let counter = match answer.get(9) {
            Some(b'2' | b'3') => &self.taken,
            _ => &self.turned_away,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn request(method: &str, path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let kind = if path == "/ocsp" {
        "application/ocsp-request"
    } else {
        "application/json"
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What a folder's files take, in kilobytes.
fn disk_kb(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => disk_kb(&entry.path()),
        Ok(about) => about.len() / 1024,
        // It went between the two looks.
        Err(_) => 0,
    });
    sizes.sum()
}

/// Both programs as they ship, with the limits they ship with, one camera, and what strangers find.
struct Stage {
    world: World,
    camera: Camera,
    node: Process,
    authority: Process,
    folder: PathBuf,
    ground: Arc<Ground>,
}

/// A figure before an attack, the highest during it, and after it.
#[derive(Clone, Copy)]
struct Course {
    before: u64,
    most: u64,
    after: u64,
}

impl Course {
    const fn begin(before: u64) -> Self {
        Self {
            before,
            most: before,
            after: before,
        }
    }

    /// Written as `before/most/after`.
    fn text(&self, unit: u64) -> String {
        let [before, most, after] = [self.before, self.most, self.after].map(|one| one / unit);
        format!("{before}/{most}/{after}")
    }
}

/// How long the programs are left alone after an attack before they are looked at.
const REST: Duration = Duration::from_millis(500);

/// What one attack came to.
struct Outcome {
    asked: u64,
    taken: u64,
    turned_away: u64,
    /// What the validator and the authority held before, at most during and after it.
    memory_kb: [Course; 2],
    /// What lay on the disk for each of them.
    disk_kb: [Course; 2],
    /// The longest that a photo of the genuine camera took.
    slowest: Duration,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        let mut authority = Authority::found(&at).await;
        let away = Authority::found_named(&at, "away").await;
        let camera = Camera::new(&authority, "CAM-0001").await;
        let other = Camera::new(&authority, "CAM-0003").await;
        let token = authority.token("library.example").await;
        let entries = vec![authority.entry(), away.entry()];
        let mut world = World::prepare(Base::Sqlite, folder, entries);
        crate::tokens::keep(&world.credentials(), &token);
        world.settings.authorities[0].token_credential = Some(crate::tokens::CREDENTIAL.into());
        // Whatever this machine's disk has left is enough for a test.
        world.settings.limits = LimitSettings {
            disk_reserve_mb: 1,
            ..LimitSettings::default()
        };
        at_a_free_port(&mut world);
        let process = authority.as_process().await;
        let mut node = Process::start(&world);
        node.healthy(&world).await;
        let photo = world.registered(&camera).await.to_string();
        let listens = [world.settings.http.listen, authority.address()];
        let ground = Ground::of(listens, away, [&camera, &other], photo).await;
        Self {
            world,
            camera,
            node,
            authority: process,
            folder: at,
            ground: Arc::new(ground),
        }
    }

    fn memory_kb(&self) -> [u64; 2] {
        [self.node.resident_kb(), self.authority.resident_kb()]
    }

    fn disk_kb(&self) -> [u64; 2] {
        let all = disk_kb(&self.folder);
        let authority = disk_kb(&self.folder.join(crate::authority::NAME));
        [all - authority.min(all), authority]
    }

    async fn suffer(&self, attack: &Attack, lasting: Duration) -> Outcome {
        let mut memory = self.memory_kb().map(Course::begin);
        let mut disk = self.disk_kb().map(Course::begin);
        let mut strangers = JoinSet::new();
        for who in 0..STRANGERS {
            let (ground, act) = (Arc::clone(&self.ground), attack.act);
            strangers.spawn(async move {
                loop {
                    act(&ground, who).await;
                }
            });
        }
        let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
        while begin.elapsed() < lasting || slowest.is_zero() {
            let asked = Instant::now();
            self.world.registered(&self.camera).await;
            slowest = slowest.max(asked.elapsed());
            let (held, kept) = (self.memory_kb(), self.disk_kb());
            let courses = memory.iter_mut().chain(&mut disk);
            for (course, now) in courses.zip(held.into_iter().chain(kept)) {
                course.most = course.most.max(now);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        strangers.shutdown().await;
        tokio::time::sleep(REST).await;
        let after = self.memory_kb().into_iter().chain(self.disk_kb());
        for (course, now) in memory.iter_mut().chain(&mut disk).zip(after) {
            course.after = now;
        }
        let [asked, taken, turned_away] = self.ground.counted();
        Outcome {
            asked,
            taken,
            turned_away,
            memory_kb: memory,
            disk_kb: disk,
            slowest,
        }
    }
}

impl Ground {
    async fn of(
        [node, authority]: [SocketAddr; 2],
        mut away: Authority,
        [camera, other]: [&Camera; 2],
        photo: String,
    ) -> Self {
        let lost = Camera::new(&away, "CAM-0002").await;
        away.stop().await;
        let stolen = camera.stolen_certificate();
        let bodies = |body: &dyn Fn() -> Value| (0..BODIES).map(|_| body().to_string()).collect();
        Self {
            node,
            authority,
            photo,
            of_an_authority_that_is_away: bodies(&|| lost.certificate_plan(digest(), now())),
            with_a_stolen_certificate: bodies(&|| stolen.certificate_plan(digest(), now())),
            with_a_token_of_another: bodies(&|| other.with_token_of(camera, digest(), false)),
            asked: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// What was counted since it was asked last.
    fn counted(&self) -> [u64; 3] {
        [&self.asked, &self.taken, &self.turned_away]
            .map(|counter| counter.swap(0, Ordering::Relaxed))
    }
}

impl Outcome {
    /// As a line of the table: memory in MB, disk in kB.
    fn print(&self, name: &str) {
        let Self {
            asked,
            taken,
            turned_away,
            memory_kb: [node, maker],
            disk_kb: [node_disk, maker_disk],
            slowest,
        } = self;
        let (node, maker) = (node.text(1024), maker.text(1024));
        let (node_disk, maker_disk) = (node_disk.text(1), maker_disk.text(1));
        let slowest = slowest.as_secs_f64();
        eprintln!(
            "| {name} | {asked} | {taken} | {turned_away} | {node} | {maker} | {node_disk} | {maker_disk} | {slowest:.2} |"
        );
    }

    fn judge(&self, name: &str, at_rest: [u64; 2], is_strict: bool) {
        assert!(self.asked > 0, "{name}: nobody attacked");
        let whose = ["validator", "authority"];
        for ((who, memory), rest) in whose.iter().zip(self.memory_kb).zip(at_rest) {
            let grown = memory.most.saturating_sub(rest);
            assert!(grown < MEMORY_KB, "{name}: the {who} grew by {grown} kB");
        }
        for (who, disk) in whose.iter().zip(self.disk_kb) {
            let left = disk.after.saturating_sub(disk.before);
            assert!(
                left < DISK_KB,
                "{name}: the {who} left {left} kB on the disk"
            );
        }
        let slowest = self.slowest;
        assert!(
            !is_strict || slowest < PATIENCE,
            "{name}: a photo took {slowest:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_little_and_keep_nobody_waiting() {
    let longer = std::env::var("BIRTHMARK_ABUSE_SECONDS").ok();
    let is_strict = longer.is_some() && std::env::var_os("BIRTHMARK_ABUSE_PATIENT").is_none();
    let seconds = longer.map_or(1, |seconds| seconds.parse().unwrap());
    let wanted = std::env::var("BIRTHMARK_ABUSE_NAME").ok();
    let is_wanted = |attack: &&Attack| {
        wanted
            .as_ref()
            .is_none_or(|part| attack.name.contains(part))
    };

    let stage = Stage::set().await;
    let at_rest = stage.memory_kb();
    eprintln!(
        "| attack | asked | taken | refused | validator MB before/most/after | authority MB | validator's disk kB | \
         authority's disk kB | slowest photo s |\n|---|---|---|---|---|---|---|---|---|"
    );
    for attack in ATTACKS.iter().filter(is_wanted) {
        let outcome = stage.suffer(attack, Duration::from_secs(seconds)).await;
        outcome.print(attack.name);
        outcome.judge(attack.name, at_rest, is_strict);
    }
    assert_eq!(stage.world.get("/health").await.0, 200);
}
