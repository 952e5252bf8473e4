//! What a validator computes for a photo before it keeps it: under a one-time key, and under a
//! certificate, in one run, alternating. `cargo bench -p birthmark-node --bench one_time`.
//!
//! Both read the request, check every signature that admission checks, and seal what they would
//! store. Under a certificate that is the photo's signature alone when the certificate was seen
//! before, and its issuer's as well when it was not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
};
use birthmark_protocol::one_time::{EpochStatement, OneTimeSubmission, SignedEpochStatement};
use birthmark_protocol::submission::{Submission, SubmissionRoute};
use birthmark_protocol::{Digest, PublicKey, Signature};
use serde_json::Value;

const ROUNDS: u32 = 20_000;

fn holds(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1())
        .verify(message, &signature.to_bytes())
        .is_ok()
}

fn vectors(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn main() {
    let one_time = vectors("one-time");
    let case = &one_time["cases"][0];
    let stated = hex::decode(case["statements"][0]["signed"].as_str().unwrap()).unwrap();
    let EpochStatement::Key(epoch) = SignedEpochStatement::decode(&stated).unwrap().statement
    else {
        panic!("the first statement is a key")
    };
    let once = case["submission"]["body"].as_str().unwrap().as_bytes();
    let submissions = vectors("submissions");
    let cases = submissions["cases"].as_array().unwrap();
    let ours = cases
        .iter()
        .find(|case| case["signed_form"] == "bundle")
        .unwrap();
    let certified = ours["body"].as_str().unwrap().as_bytes();
    let issuer = hex::decode(ours["issuer_key"].as_str().unwrap()).unwrap();
    let issuer = PublicKey::from_sec1(&issuer).unwrap();

    // A digest is imported for each signature in admission; here its message is hashed, which is
    // the same work and more.
    let by_one_time_key = || {
        let read = OneTimeSubmission::parse(once).unwrap();
        let name = read.proof.name(&epoch.id());
        let message = Digest::tagged_message("birthmark/bundle/v1", &[&read.bundle.encode()]);
        let rsa = RsaPublicKeyComponents {
            n: epoch.modulus.as_slice(),
            e: &[1_u8, 0, 1][..],
        };
        let signed = rsa.verify(
            &RSA_PSS_2048_8192_SHA384,
            name.as_bytes(),
            &read.proof.key_signature,
        );
        assert!(signed.is_ok() && holds(&read.proof.key, &message, &read.proof.signature));
    };
    let by_certificate = |is_new: bool| {
        let read = Submission::parse(SubmissionRoute::Certificate, certified).unwrap();
        let signed = read.camera.signed().unwrap();
        let bytes = read.bundle.encode();
        let block = read.anchor_block.map(|block| block.as_bytes().to_vec());
        let block = block.unwrap_or_default();
        let message = Digest::tagged_message("birthmark/bundle/v1", &[&bytes, &block]);
        let certificate = &signed.certificate;
        assert!(holds(
            certificate.key().p256().unwrap(),
            &message,
            &signed.signature
        ));
        if is_new {
            assert!(holds(
                &issuer,
                certificate.tbs_der(),
                certificate.signature()
            ));
        }
    };
    let (mut once, mut seen, mut new) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        by_one_time_key();
        let then = Instant::now();
        by_certificate(false);
        let later = Instant::now();
        by_certificate(true);
        once += then - begin;
        seen += later - then;
        new += later.elapsed();
    }
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!(
        "one-time key                     {:>7.1} us, and nobody is asked",
        each(once)
    );
    println!(
        "certificate seen before          {:>7.1} us, and its authority is asked",
        each(seen)
    );
    println!(
        "certificate seen the first time  {:>7.1} us, and its authority is asked",
        each(new)
    );
}
