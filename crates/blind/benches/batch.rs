//! What a batch of 1,000 keys costs its authority, and one key its camera and its validator.
//! `cargo bench -p birthmark-blind`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::time::{Duration, Instant};

use birthmark_blind::{EpochSecret, EpochVerifier};
use birthmark_protocol::Digest;
use birthmark_protocol::one_time::batch::BlindingSeed;

const KEYS: usize = 1000;

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let done = work();
    (begin.elapsed(), done)
}

fn main() {
    let (made, secret) = timed(|| EpochSecret::generate().unwrap());
    let verifier = EpochVerifier::from_modulus(secret.modulus()).unwrap();
    let names: Vec<_> = (0..KEYS as u64)
        .map(|at| Digest::of(&at.to_be_bytes()))
        .collect();
    let seeds: Vec<_> = names
        .iter()
        .map(|name| BlindingSeed::from_bytes(*name.as_bytes()))
        .collect();
    let each = || names.iter().zip(&seeds);
    // The authority blinds what is opened again: as many as it signs.
    let (blinding, blinded) = timed(|| {
        each()
            .map(|(name, seed)| verifier.blind(name, seed).unwrap())
            .collect::<Vec<_>>()
    });
    let (signing, signed) = timed(|| secret.sign(&blinded).unwrap());
    let (unblinding, signatures) = timed(|| {
        let pairs = each().zip(&signed);
        pairs
            .map(|((name, seed), one)| verifier.unblind(name, seed, one).unwrap())
            .collect::<Vec<_>>()
    });
    let (verifying, ()) = timed(|| {
        for (name, signature) in names.iter().zip(&signatures) {
            verifier.verify(name, signature).unwrap();
        }
    });
    println!(
        "an epoch's key                        {:>8.2} s",
        made.as_secs_f64()
    );
    println!(
        "{KEYS} opened keys blinded again         {:>8.2} s",
        blinding.as_secs_f64()
    );
    println!(
        "{KEYS} keys signed                       {:>8.2} s",
        signing.as_secs_f64()
    );
    println!(
        "both, one core                        {:>8.2} s",
        (blinding + signing).as_secs_f64()
    );
    let per_key = |time: Duration| time.as_secs_f64() * 1e6 / KEYS as f64;
    println!(
        "camera: a key unblinded and verified  {:>8.0} us",
        per_key(unblinding)
    );
    println!(
        "a key verified (this crate)           {:>8.0} us",
        per_key(verifying)
    );
}
