//! Programs from the Python registry that know nothing of ours follow a running registry.
//!
//! `cargo xtask test` installs them and names their folder in `BIRTHMARK_FOREIGN`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use birthmark_node::settings::WitnessOfUs;

use super::{fetch, text};
use crate::authority::Authority;
use crate::camera::{Camera, digest};
use crate::world::{Base, World, client};

/// The folder with the installed programs.
pub fn programs() -> PathBuf {
    let folder = std::env::var_os("BIRTHMARK_FOREIGN");
    PathBuf::from(folder.expect("BIRTHMARK_FOREIGN names the folder of aics-tlog"))
}

/// Runs a program to its end; its status, and what it wrote.
async fn run(program: &str, words: &[&str]) -> (bool, String) {
    let ended = Command::new(programs().join(program))
        .args(words)
        .output()
        .await;
    let ended = ended.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (
        ended.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Succeeds if the program does.
pub async fn accepted(program: &str, words: &[&str]) -> String {
    let (holds, said) = run(program, words).await;
    assert!(holds, "{program} {words:?}: {said}");
    said
}

/// A witness of other software, in a folder of its own.
pub struct OtherWitness {
    pub url: String,
    pub key: String,
    _running: Child,
}

impl OtherWitness {
    /// Founds it, tells it of the registry, and starts it.
    pub async fn start(folder: &Path, origin: &str, log_keys: &[&str]) -> Self {
        let config = folder.join("witness.json");
        let config = config.to_str().unwrap();
        let of = ["--config", config];
        let name = ["--name", "witness.example", "--listen", "127.0.0.1:0"];
        let said = accepted("aics-witness", &[&["init"], &of[..], &name].concat()).await;
        let key = said
            .lines()
            .find(|line| line.starts_with("witness.example+"));
        let key = key.unwrap().to_owned();
        for log_key in log_keys {
            let log = ["--origin", origin, "--vkey", log_key];
            accepted("aics-witness", &[&["add-log"], &of[..], &log].concat()).await;
        }
        let mut running = Command::new(programs().join("aics-witness"))
            .args([&["serve"], &of[..]].concat())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let url = loop {
            let line = said.next_line().await.unwrap().expect("it says where");
            let place = line.split_once("listening on ").map(|(_, place)| place);
            if let Some(url) = place.and_then(|place| place.split_whitespace().next()) {
                break url.to_owned();
            }
        };
        // Whoever stops reading stops the writer.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self {
            url,
            key,
            _running: running,
        }
    }

    /// The answer to a checkpoint.
    async fn add_checkpoint(&self, body: String) -> (u16, String) {
        let place = format!("{}/add-checkpoint", self.url);
        let answer = client().post(place).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }
}

/// The checkpoint with another root: what a registry that was set back would sign.
fn with_another_root(checkpoint: &str) -> String {
    let (before, rest) = checkpoint.split_once("\n5\n").unwrap();
    let (root, lines) = rest.split_once('\n').unwrap();
    let first = if root.starts_with('A') { 'B' } else { 'A' };
    format!("{before}\n5\n{first}{}\n{lines}", &root[1..])
}

#[ignore = "needs packages of the Python registry: cargo xtask test --only foreign"]
#[tokio::test(flavor = "multi_thread")]
async fn packages_of_others_follow_the_registry_and_witness_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let register = async |world: &World| {
        let body = camera.ours([digest(), digest(), digest()]);
        let id = world.submit("/api/v1/submit-cert", &body).await;
        world.stored(&id).await;
    };
    for _ in 0..5 {
        register(&world).await;
    }
    let policy = text(&world, "/api/v1/tlog-policy").await;
    let named = |kind: &str| {
        let line = policy.lines().find_map(|line| line.strip_prefix(kind));
        line.unwrap().split(' ').next_back().unwrap().to_owned()
    };
    let (log_key, cosigner) = (named("log "), named("witness "));
    let origin = world.genesis.chain_id.to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let url = world.url.clone();
    let asked = [
        ["--tiles", &url],
        ["--log-key", &log_key],
        ["--origin", &origin],
        ["--witness-key", &cosigner],
        ["--quorum", "1"],
    ]
    .concat();
    let ask = async |words: &[&str]| run("aics-tlog", &[words, &asked].concat()).await;
    let holds = async |words: &[&str]| {
        let (holds, said) = ask(words).await;
        assert!(holds, "{words:?}: {said}");
    };

    // The checkpoint, its tiles and every record in it.
    let old = at("old");
    holds(&["verify-checkpoint", "--save-checkpoint", &old]).await;
    for index in 0..5 {
        let index = index.to_string();
        holds(&["verify-inclusion", "--index", &index]).await;
    }

    // A witness takes it for the first time, and again once the registry has grown.
    let witness = OtherWitness::start(folder.path(), &origin, &[&log_key]).await;
    let first = text(&world, "/checkpoint").await;
    let (status, line) = witness.add_checkpoint(format!("old 0\n\n{first}")).await;
    assert_eq!(status, 200, "{line}");
    assert!(line.starts_with("\u{2014} witness.example "), "{line}");
    register(&world).await;
    holds(&["verify-consistency", "--old-checkpoint", &old]).await;
    let (_, proof) = world.get("/api/v1/consistency?old=5&new=6").await;
    let path = proof["path"].as_array().unwrap().iter();
    let path: String = path
        .map(|hash| format!("{}\n", base64_of(hash.as_str().unwrap())))
        .collect();
    let grown = text(&world, "/checkpoint").await;
    let body = format!("old 5\n{path}\n{grown}");
    let (status, line) = witness.add_checkpoint(body).await;
    assert_eq!(status, 200, "{line}");

    // The validator asks it by itself, and serves what it signed.
    world.stop().await;
    world.settings.witnesses = vec![WitnessOfUs {
        url: witness.url.clone(),
        key: witness.key.parse().unwrap(),
    }];
    world.start().await;
    register(&world).await;
    let mut signed = (0, String::new());
    for _ in 0..300 {
        signed = fetch_text(&world, "/api/v1/checkpoint/witnessed").await;
        if signed.0 == 200 && signed.1.contains("\n7\n") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let note = at("witnessed");
    std::fs::write(&note, &signed.1).unwrap();
    let by_witness = ["verify-checkpoint", "--note", &note, "--log-key", &log_key];
    let keys = ["--witness-key", &witness.key, "--quorum", "1"];
    accepted("aics-tlog", &[&by_witness[..], &keys].concat()).await;

    // What was not so is refused by both.
    let bent = with_another_root(&first);
    let (status, line) = witness.add_checkpoint(format!("old 0\n\n{bent}")).await;
    assert_eq!(status, 403, "{line}");
    std::fs::write(&old, bent).unwrap();
    let (holds, said) = ask(&["verify-consistency", "--old-checkpoint", &old]).await;
    assert!(!holds && said.contains("old checkpoint"), "{said}");
    world.stop().await;
    drop(authority);
}

async fn fetch_text(world: &World, path: &str) -> (u16, String) {
    let (status, bytes) = fetch(world, path).await;
    (status, String::from_utf8(bytes).unwrap())
}

fn base64_of(hex: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(hex::decode(hex).unwrap())
}
