//! A photo a second for a long time: memory and handles must not grow.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use birthmark_capture::client::CaptureCalls as _;

use crate::program::{Program, full_sensor};
use crate::world::World;

const EVERY: Duration = Duration::from_secs(1);

pub async fn run(minutes: u64) {
    let mut world = World::new().await;
    full_sensor(&mut world);
    let _signer = world.sign();
    let mut program = Program::start(&world).await;
    let begin = Instant::now();
    let (mut taken, mut late) = (0u32, 0u32);
    let mut kept = Vec::new();
    println!("minute  photos   MiB  handles  threads  waiting");
    while begin.elapsed() < Duration::from_secs(60 * minutes) {
        let photo = program.calls.capture().await.unwrap().unwrap();
        taken += 1;
        kept.push(PathBuf::from(photo.path));
        if taken % 60 == 1 {
            let waiting = program.calls.status().await.unwrap().unwrap().waiting;
            let (memory, handles, threads) = program.needs();
            let minute = begin.elapsed().as_secs() / 60;
            println!(
                "{minute:>6}  {taken:>6}  {memory:>4.0}  {handles:>7}  {threads:>7}  {waiting:>7}"
            );
            copy_away(&mut kept);
        }
        let next = begin + EVERY * taken;
        late += u32::from(next < Instant::now());
        tokio::time::sleep_until(next.into()).await;
    }
    let status = program.calls.status().await.unwrap().unwrap();
    println!(
        "{taken} photos in {} s, {late} of them began late; {} receipts stored, {} waiting, {} refused",
        begin.elapsed().as_secs(),
        status.stored,
        status.waiting,
        status.refused
    );
}

/// As a photographer would: what has its receipt is taken off the card.
fn copy_away(photos: &mut Vec<PathBuf>) {
    photos.retain(|photo| {
        let proven = photo.with_extension("jpg.birthmark").exists();
        if proven {
            for ending in ["jpg", "json", "jpg.birthmark"] {
                let _ = std::fs::remove_file(photo.with_extension(ending));
            }
        }
        !proven
    });
}
