//! A camera that was away for months: so many proofs wait that it has to be shown that nothing
//! minds.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Status;
use birthmark_capture::queue::{Entry, EntryId, Stage};
use birthmark_protocol::{
    Bundle, Capture, Digest, DigestRole, ImageClaim, ModificationLevel, PixelSource, Timestamp,
};

const CAPTURE: Capture = Capture {
    source: PixelSource::Simulated,
    software: None,
    anchor: None,
    disclosure: None,
};

use crate::program::Program;
use crate::world::{Mood, World};

const START: i64 = 1_790_000_000;
/// How often the draining queue is looked at.
const EVERY: Duration = Duration::from_secs(10);

pub async fn run(entries: u64) {
    let world = World::new().await;
    let _signer = world.sign();
    let begin = Instant::now();
    fill(&world, entries);
    println!(
        "{entries} unsigned proofs written in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    world.node.feel(Mood::Busy);
    let mut program = Program::start(&world).await;
    let (memory, handles, _) = program.needs();
    println!(
        "ready after {:.2} s with {memory:.1} MiB and {handles} handles",
        program.ready_after.as_secs_f64()
    );
    list(&mut program, entries).await;
    let photo = program.calls.capture().await.unwrap().unwrap();
    println!("a photo meanwhile: {} ms", photo.milliseconds);
    world.node.feel(Mood::Honest);
    program.calls.retry_queue(None).await.unwrap().unwrap();
    submit(&mut program).await;
}

/// Proofs of photos nobody took, as they are when the signer was away.
fn fill(world: &World, entries: u64) {
    for number in 0..entries {
        let image = ImageClaim {
            digest: Digest::of(&number.to_be_bytes()),
            role: DigestRole::Raw,
            level: ModificationLevel::RAW,
            parent: None,
        };
        let time = Timestamp::from_unix(START + number as i64);
        let bundle = Bundle::captured(vec![image], time, CAPTURE).unwrap();
        let entry = Entry {
            photo: format!("2026-09-21/{number}.jpg"),
            bundle: STANDARD.encode(bundle.encode()),
            anchor_block: None,
            opening: "05".repeat(32),
            refusals: Vec::new(),
            stage: Stage::Unsigned,
        };
        let id = EntryId::new((START + number as i64) * 1_000_000_000, number);
        let folder = world.settings.state.join("queue").join(id.shard());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(id.to_string()), entry.encode().unwrap()).unwrap();
    }
}

async fn list(program: &mut Program, entries: u64) {
    let (begin, mut after, mut seen) = (Instant::now(), None::<String>, 0);
    loop {
        let page = program.calls.list_queue(after.as_deref(), 500).await;
        let page = page.unwrap().unwrap();
        seen += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen >= entries, "{seen} of {entries} were listed");
    println!("listed {seen} in {:.1} s", begin.elapsed().as_secs_f64());
}

async fn submit(program: &mut Program) {
    let seconds = super::option("--seconds").unwrap_or(60);
    let (begin, mut next) = (Instant::now(), EVERY);
    println!("second  receipts  a second  waiting  refused   MiB  handles");
    loop {
        let status = program.calls.status().await.unwrap().unwrap();
        let over = status.waiting == 0 || begin.elapsed() > Duration::from_secs(seconds);
        if over || begin.elapsed() >= next {
            tell(program, &status, begin.elapsed().as_secs_f64());
            next += EVERY;
        }
        if over {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Receipts must come while others still wait to be sent.
fn tell(program: &Program, status: &Status, seconds: f64) {
    let (memory, handles, _) = program.needs();
    println!(
        "{seconds:>6.0}  {:>8}  {:>8.0}  {:>7}  {:>7}  {memory:>4.1}  {handles:>7}",
        status.stored,
        status.stored as f64 / seconds,
        status.waiting,
        status.refused,
    );
}
