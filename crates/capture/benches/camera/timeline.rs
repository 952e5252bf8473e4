//! From the shutter to the durable proof, step by step, and the hash against its own library.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use birthmark_camera_simulated::Simulated;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Photo;
use birthmark_protocol::Digest;
use birthmark_sensor::RawSource as _;
use sha2::{Digest as _, Sha256};

use crate::program::{Program, full_sensor};
use crate::world::World;

/// What the simulated sensor and the encoder take is not the camera's doing.
const NOT_OURS: [&str; 2] = ["expose", "encode JPEG"];
const PROMISE_MS: f64 = 300.0;

pub async fn run(photos: u64) {
    hashing();
    let mut world = World::new().await;
    full_sensor(&mut world);
    world.settings.dng = std::env::args().any(|word| word == "--dng");
    let _signer = world.sign();
    let mut program = Program::start(&world).await;
    let mut taken = Vec::new();
    for _ in 0..photos.max(1) {
        taken.push(program.calls.capture().await.unwrap().unwrap());
        // Submission is background work; here only the shutter's path is measured.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    report(&taken);
}

fn hashing() {
    let shot = Simulated::new(7, 0).capture().unwrap();
    let packed: Vec<u8> = shot.frame.rows().flatten().copied().collect();
    let best = |work: &dyn Fn() -> Digest| {
        let one = |_| {
            let begin = Instant::now();
            black_box(work());
            begin.elapsed().as_secs_f64() * 1e3
        };
        (0..9).map(one).fold(f64::INFINITY, f64::min)
    };
    let library = best(&|| Digest::from_bytes(Sha256::digest(black_box(&packed)).into()));
    let ours = best(&|| shot.frame.digest());
    println!(
        "hash of {} packed bytes: library {library:.1} ms, over the frame's rows {ours:.1} ms, {:.0} % of the library's speed",
        packed.len(),
        100.0 * library / ours
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(taken: &[Photo]) {
    let mut steps: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for step in taken.iter().flat_map(|photo| &photo.timeline) {
        let times = (step.start_us as f64 / 1e3, step.duration_us as f64 / 1e3);
        steps.entry(&step.name).or_default().push(times);
    }
    let mut lines: Vec<(f64, f64, &str)> = steps
        .iter()
        .map(|(name, times)| {
            let part = |part: fn(&(f64, f64)) -> f64| median(times.iter().map(part).collect());
            (part(|times| times.0), part(|times| times.1), *name)
        })
        .collect();
    lines.sort_by(|one, other| one.0.total_cmp(&other.0));
    println!(
        "median of {} photos, milliseconds after the shutter:",
        taken.len()
    );
    for (begin, length, name) in &lines {
        let bar =
            " ".repeat((begin / 20.0) as usize) + &"█".repeat((length / 20.0).ceil() as usize);
        println!("  {name:<12} {begin:>7.1} + {length:>6.1}  {bar}");
    }
    let ours = |photo: &Photo| {
        let foreign = photo
            .timeline
            .iter()
            .filter(|step| NOT_OURS.contains(&step.name.as_str()));
        photo.milliseconds as f64
            - foreign
                .map(|step| step.duration_us as f64 / 1e3)
                .sum::<f64>()
    };
    let total = median(
        taken
            .iter()
            .map(|photo| photo.milliseconds as f64)
            .collect(),
    );
    let beyond = median(taken.iter().map(ours).collect());
    println!(
        "shutter to durable success: {total:.0} ms; beyond the simulated sensor and the JPEG encoder {beyond:.0} ms, {:.0} % of {PROMISE_MS:.0} ms",
        100.0 * beyond / PROMISE_MS
    );
}
