//! The power fails at any moment: while a photo is taken, while a key signs, while a batch is in
//! flight.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::once::kit::{Kit, stage};

/// How often in the test's short form; `BIRTHMARK_KILLS=300` for the long one.
const KILLS: u64 = 12;
/// After so long without another receipt, none is expected any more.
const STANDSTILL: Duration = Duration::from_secs(180);

/// A stream of numbers that looks random and is the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn killed_at_random_instants_no_photo_is_without_its_proof_and_no_key_signs_twice() {
    let kills = std::env::var("BIRTHMARK_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut stage = stage("wait");
    // A batch of forty, asked for again when a quarter is left: some of the cuts meet one.
    stage.camera.wants(40);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut taken, mut seen) = (BTreeSet::new(), Seen::default());
    for _ in 0..kills {
        stage.camera.start();
        let instant = Duration::from_millis(dice.below(1800));
        std::thread::scope(|scope| {
            let camera = &stage.camera;
            let shooting = scope.spawn(|| shoot(camera, instant));
            std::thread::sleep(instant);
            shooting.join().unwrap().into_iter().for_each(|photo| {
                taken.insert(photo);
            });
        });
        match dice.below(4) {
            0 => stage.camera.kill_capture(),
            1 => stage.camera.kill_signer(),
            2 => {
                stage.authority.take().unwrap().kill();
                stage.authority = Some(stage.maker.institutions.start_authority());
                stage.camera.kill();
            }
            _ => stage.camera.kill(),
        }
        seen.look_at(&stage.camera);
    }
    stage.camera.start();
    wait_for_receipts(&taken, &stage.camera, &mut seen);
    // Whatever lies in the album has its proof, also what nobody was told of any more.
    let mut spent = BTreeSet::new();
    let pictures = files(&stage.camera.folder.join("photos"), "jpg");
    assert!(pictures.len() >= taken.len());
    for picture in &pictures {
        let receipt = stage.camera.receipt_of(picture);
        let key = receipt.record.spent().expect("signed by a one-time key");
        assert!(spent.insert(key.name), "a key was used twice");
    }
    assert!(!stage.maker.log("node").contains("used before"));
    let refused = stage.camera.birthmark(&["queue", "list"]).text;
    assert!(!refused.contains("refused"), "{refused}");
    println!(
        "{kills} kills, {} photos, each with its receipt",
        pictures.len()
    );
}

/// Hundreds of photos may wait for keys, of which forty come at a time, a minute apart: as long as
/// receipts come, there is hope.
fn wait_for_receipts(taken: &BTreeSet<PathBuf>, camera: &Kit, seen: &mut Seen) {
    let missing = |photos: &BTreeSet<PathBuf>| {
        let without = photos.iter().filter(|photo| !Kit::receipt(photo).exists());
        without.count()
    };
    let (mut left, mut progress) = (missing(taken), Instant::now());
    while left > 0 {
        seen.look_at(camera);
        let now = missing(taken);
        if now < left {
            (left, progress) = (now, Instant::now());
        }
        let stands = progress.elapsed();
        assert!(stands < STANDSTILL, "{left} photos have no receipt");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes a photo or two until the instant is over: the ones that were reported as taken.
fn shoot(camera: &Kit, within: Duration) -> Vec<PathBuf> {
    let begin = Instant::now();
    let mut photos = Vec::new();
    while photos.len() < 2 && begin.elapsed() < within {
        let said = camera.birthmark(&["capture", "--json"]);
        if said.status == Some(0) {
            photos.push(said.json()["path"].as_str().unwrap().into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    photos
}

/// Which claims each key was seen under, over all the cuts.
#[derive(Default)]
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn look_at(&mut self, camera: &Kit) {
        for file in files(&camera.folder.join("photos"), "json") {
            // It may be written at this moment.
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(_) => continue,
            };
            let Ok(sidecar) = serde_json::from_str::<Value>(&text) else {
                continue;
            };
            let (Some(key), Some(claims)) =
                (sidecar["one_time_key"].as_str(), sidecar["bundle"].as_str())
            else {
                continue;
            };
            let before = self.0.insert(key.to_owned(), claims.to_owned());
            let is_same = before.is_none_or(|before| before == claims);
            assert!(is_same, "a key signed two photos: {}", file.display());
        }
    }
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for day in fs::read_dir(folder).into_iter().flatten() {
        for file in fs::read_dir(day.unwrap().path()).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|one| one == ending) {
                found.push(path);
            }
        }
    }
    found
}
