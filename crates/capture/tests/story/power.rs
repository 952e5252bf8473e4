//! The battery is pulled: `kill -9` of the real program at random instants during bursts.
//! `BIRTHMARK_POWER_LOSSES` says how often; with `--no-capture` it tells what it counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use birthmark_capture::client::CaptureCalls as _;
use birthmark_daemon::varlink::{self, Peers};
use birthmark_protocol::Digest;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::world::World;

/// How often the power fails; more on request.
fn losses() -> u32 {
    let wanted = std::env::var("BIRTHMARK_POWER_LOSSES").ok();
    wanted.map_or(25, |count| count.parse().unwrap())
}

/// The program, ended when dropped.
struct Program(Child);

impl Program {
    fn start(settings: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark-capture"));
        let command = command.arg("--config").arg(settings).stdin(Stdio::null());
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    /// SIGKILL: nothing is flushed, nothing is caught.
    fn pull_the_battery(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shoots until the power fails; returns what was reported as taken, and tells how much that is
/// meanwhile.
async fn burst(socket: PathBuf, so_far: watch::Sender<usize>) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    let Ok(mut calls) =
        varlink::connect(&socket, &Peers::same_user(), Duration::from_secs(5)).await
    else {
        return taken;
    };
    let Ok(stream) = calls.capture_series(0, 0).await else {
        return taken;
    };
    let mut stream = std::pin::pin!(stream);
    while let Some(Ok(Ok(photo))) = stream.next().await {
        taken.push((photo.path, photo.raw));
        so_far.send_replace(taken.len());
    }
    taken
}

fn pictures(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for day in std::fs::read_dir(folder).unwrap() {
        let day = day.unwrap();
        if day.file_name() == "incoming" {
            continue;
        }
        for file in std::fs::read_dir(day.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "jpg") {
                let digest = Digest::of(&std::fs::read(&path).unwrap()).to_hex();
                found.insert(path, digest);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_photo_is_reported_without_its_proof_and_none_is_registered_twice() {
    let world = World::new().await;
    let _signer = world.sign();
    let config = world.path("capture.toml");
    std::fs::write(&config, toml::to_string(&world.settings).unwrap()).unwrap();
    let mut reported = Vec::new();
    for _ in 0..losses() {
        let mut program = Program::start(&config);
        while varlink::connect(
            &world.settings.socket,
            &Peers::same_user(),
            Duration::from_secs(5),
        )
        .await
        .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut random = [0; 3];
        getrandom::fill(&mut random).unwrap();
        let [photos, instant @ ..] = random;
        let instant = Duration::from_micros(u64::from(u16::from_le_bytes(instant)) * 2);
        let (told, mut so_far) = watch::channel(0);
        let (taken, ()) = tokio::join!(burst(world.settings.socket.clone(), told), async {
            // On a busy machine a photo takes many times longer: the instant is counted from the
            // last of up to three.
            let _ = so_far
                .wait_for(|taken| *taken >= usize::from(photos % 4))
                .await;
            tokio::time::sleep(instant).await;
            program.pull_the_battery();
        });
        reported.extend(taken);
    }
    let mut camera = world.shoot().await;
    let status = camera
        .until_within(600 + 20 * losses(), "everything arrived", |status| {
            status.waiting == 0
        })
        .await;
    assert_eq!(status.refused, 0);

    let (records, pictures) = (world.node.records(), pictures(&world.settings.photos));
    assert!(
        !reported.is_empty(),
        "no photo was finished in {} bursts",
        losses()
    );
    println!(
        "{} power losses: {} photos reported as taken, {} on the card, {} records, {} proofs refused",
        losses(),
        reported.len(),
        pictures.len(),
        records.len(),
        status.refused
    );
    for (path, raw) in &reported {
        assert!(
            records.contains_key(raw),
            "{path} was reported and has no record"
        );
        assert!(
            pictures.contains_key(Path::new(path)),
            "{path} was reported and is gone"
        );
    }
    assert!(
        records.values().all(|tokens| *tokens == 1),
        "a photo came with two tokens"
    );
    assert_eq!(
        records.len(),
        pictures.len(),
        "each record has its picture and each picture its record"
    );
    for path in pictures.keys() {
        assert!(
            path.with_extension("json").exists() && path.with_extension("jpg.birthmark").exists(),
            "{}",
            path.display()
        );
        let sidecar = std::fs::read_to_string(path.with_extension("json")).unwrap();
        assert!(sidecar.contains("bundle_signature"), "{sidecar}");
    }
    assert_eq!(
        std::fs::read_dir(world.settings.photos.join("incoming"))
            .unwrap()
            .count(),
        0
    );
    camera.stop().await;
}
