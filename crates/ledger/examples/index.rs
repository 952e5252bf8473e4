//! What the index costs: `cargo run --release -p birthmark-ledger --example index -- 10000000` adds
//! so many photos of three digests, a block of a thousand at a time with a snapshot of each as a
//! node keeps it, then asks for ranges.
//!
//! Times are computing time of this thread, so that other work on the machine does not count.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]

use birthmark_ledger::index::{Prefix, RangeProof};
use birthmark_ledger::{Height, IndexKey, IndexRoot, IndexTree};
use birthmark_protocol::Digest;

const BLOCK: u64 = 1000;

/// Nanoseconds that this thread has computed.
fn computed() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Megabytes that this process holds.
fn held() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    (text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096) >> 20
}

/// The digests of one photo, without the cost of hashing one.
fn photo(number: u64) -> impl Iterator<Item = (Digest, u64)> {
    (0..3).map(move |kind| {
        let mut bytes = [0; 32];
        for (at, part) in bytes.chunks_exact_mut(8).enumerate() {
            let seed = (number * 3 + kind).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ at as u64;
            let mixed = (seed ^ seed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            part.copy_from_slice(&(mixed ^ mixed >> 32).to_be_bytes());
        }
        (Digest::from_bytes(bytes), number)
    })
}

fn main() {
    let photos: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().unwrap());
    let mut tree = IndexTree::new();
    let mut snapshots = std::collections::VecDeque::new();
    let (mut last, step) = (computed(), (photos / 10).max(BLOCK));
    for first in (0..photos).step_by(BLOCK as usize) {
        tree.insert_all((first..first + BLOCK).flat_map(photo));
        snapshots.push_back(tree.clone());
        if snapshots.len() > 4 {
            snapshots.pop_front();
        }
        if (first + BLOCK).is_multiple_of(step) {
            let now = computed();
            let micros = (now - last) as f64 / 1000.0 / step as f64;
            println!(
                "{} photos: {micros:.1} us a photo, {} MB",
                first + BLOCK,
                held()
            );
            last = now;
        }
    }
    ranges(&tree, photos);
    at_once(&tree, photos);
}

fn ranges(tree: &IndexTree, photos: u64) {
    let index = IndexRoot {
        height: Height::new(photos / BLOCK),
        root: tree.root(),
    };
    const ASKED: u64 = 200;
    let (mut made, mut checked, mut bytes, mut keys, mut largest) = (0, 0, 0, 0, 0);
    for number in 0..ASKED {
        let digest = photo(number * photos / ASKED).next().unwrap().0;
        let prefix = Prefix::hiding(IndexKey::of(&digest), photos, 1000);
        let start = computed();
        let answer = tree.answer(prefix);
        let middle = computed();
        let range = RangeProof::parse(&answer)
            .unwrap()
            .verify(prefix, &index)
            .unwrap();
        assert!(range.find(&digest).unwrap().is_some());
        checked += computed() - middle;
        made += middle - start;
        bytes += answer.len();
        largest = largest.max(answer.len());
        keys += range.entries().len();
    }
    let each = |sum: u64| sum as f64 / 1e6 / ASKED as f64;
    println!(
        "a range: {} keys, {} bytes (largest {largest}), made in {:.3} ms, verified in {:.3} ms",
        keys as u64 / ASKED,
        bytes as u64 / ASKED,
        each(made),
        each(checked)
    );
}

/// As a node makes it at its start: a million digests at a time, no snapshots.
fn at_once(tree: &IndexTree, photos: u64) {
    let start = computed();
    let mut again = IndexTree::new();
    for first in (0..photos).step_by(333_000) {
        again.insert_all((first..(first + 333_000).min(photos)).flat_map(photo));
    }
    assert_eq!(again.root(), tree.root());
    println!("made again in {:.1} s", (computed() - start) as f64 / 1e9);
}
