//! One-time keys as voters see them: the authority's signature over the key, the key's over the
//! photo, and statements that no authority made.

use std::collections::BTreeSet;
use std::sync::Arc;

use birthmark_blind::{EpochSecret, EpochVerifier};
use birthmark_consensus::*;
use birthmark_ledger::*;
use birthmark_protocol::one_time::batch::BlindingSeed;
use birthmark_protocol::one_time::{
    EpochKey, EpochStatement, OneTimeProof, OneTimeSubmission, SignedEpochStatement,
};
use birthmark_protocol::{Digest, Timestamp};
use serde_json::Value;

use crate::library::*;

/// The submission of the protocol's vectors, and the epoch that its key is good for.
struct Sent {
    epoch: EpochKey,
    submission: OneTimeSubmission,
    secret: EpochSecret,
}

fn sent() -> Sent {
    let file = include_str!("../../../../spec/vectors/one-time.json");
    let vectors: Value = serde_json::from_str(file).unwrap();
    let case = &vectors["cases"][0];
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let stated = SignedEpochStatement::decode(&bytes(&case["statements"][0]["signed"])).unwrap();
    let EpochStatement::Key(epoch) = stated.statement else {
        panic!("the first statement is a key")
    };
    let body = case["submission"]["body"].as_str().unwrap().as_bytes();
    Sent {
        epoch,
        submission: OneTimeSubmission::parse(body).unwrap(),
        secret: EpochSecret::from_der(&bytes(&case["rsa_secret"])).unwrap(),
    }
}

impl Sent {
    fn known(&self) -> Known {
        let mut epochs = Epochs::default();
        epochs.insert(stated(EpochStatement::Key(self.epoch.clone())));
        Known {
            epochs: Arc::new(epochs),
            ..Known::default()
        }
    }

    fn record(&self, name: Digest) -> Record {
        let origin = Origin {
            source: Source::CameraOneTime,
            authority: self.submission.authority.parse().unwrap(),
            family: self.submission.family.parse().unwrap(),
            made_up_fingerprint: false,
        };
        let spent = SpentKey {
            epoch: self.submission.epoch,
            name,
        };
        Record::one_time(self.submission.bundle.clone(), origin, spent).unwrap()
    }

    fn name(&self) -> Digest {
        self.submission.proof.name(&self.epoch.id())
    }

    fn check(&self, known: &Known, proof: OneTimeProof) -> Result<(), EvidenceError> {
        check(self.record(self.name()), known, proof)
    }
}

fn check(record: Record, known: &Known, proof: OneTimeProof) -> Result<(), EvidenceError> {
    let evidence = Evidence {
        vouching: vec![Vouching::OneTime(Box::new(proof))],
        ..Evidence::default()
    };
    assert_eq!(Evidence::parse(&evidence.encode()).unwrap(), evidence);
    let transaction = transaction(vec![record]);
    evidence.check(&transaction, &Configured, known, &mut BTreeSet::new())
}

#[test]
fn a_photo_under_a_one_time_key_needs_no_verdict() {
    let sent = sent();
    let proof = sent.submission.proof.clone();
    assert_eq!(sent.check(&sent.known(), proof.clone()), Ok(()));
    let nothing = sent.check(&Known::default(), proof);
    assert_eq!(nothing, Err(EvidenceError::NoEpoch(0)));
    assert!(!EvidenceError::NoEpoch(0).is_final());
}

#[test]
fn what_is_not_signed_by_the_authority_and_by_the_key_is_refused() {
    let sent = sent();
    let good = &sent.submission.proof;
    let wrong = Err(EvidenceError::OneTimeKey(0));
    let mut forged = good.clone();
    forged.key_signature[100] ^= 1;
    assert_eq!(sent.check(&sent.known(), forged), wrong);
    let of_another = OneTimeProof {
        key: keys(3).vote.public_key(),
        ..good.clone()
    };
    assert_eq!(sent.check(&sent.known(), of_another), wrong);
    let digest = Digest::of(b"another photo");
    let other_photo = OneTimeProof {
        signature: keys(3).vote.sign(digest.as_bytes()).unwrap(),
        ..good.clone()
    };
    assert_eq!(sent.check(&sent.known(), other_photo), wrong);
    // The record names another key than the one that signed it: spending that one would leave this
    // one unspent.
    let record = sent.record(Digest::of(b"another key"));
    assert_eq!(check(record, &sent.known(), good.clone()), wrong);
}

/// A key that a stranger made and signed himself, under the epoch's name but without the
/// authority's secret.
#[test]
fn a_key_of_another_epoch_is_refused() {
    let mut sent = sent();
    let proof = sent.submission.proof.clone();
    sent.epoch.grace += 1;
    // Everything about the epoch is in the name that was signed.
    assert_eq!(
        sent.check(&sent.known(), proof),
        Err(EvidenceError::OneTimeKey(0))
    );
}

#[test]
fn a_photo_under_a_fresh_key_is_taken_as_the_camera_makes_it() {
    let sent = sent();
    let key = keys(9).vote;
    let name = birthmark_protocol::one_time::key_name(&sent.epoch.id(), &key.public_key());
    let verifier = EpochVerifier::from_modulus(&sent.epoch.modulus).unwrap();
    let seed = BlindingSeed::from_bytes([3; 32]);
    let blinded = verifier.blind(&name, &seed).unwrap();
    let signed = sent.secret.sign(&[blinded]).unwrap()[0];
    let bundle = Digest::tagged_message("birthmark/bundle/v1", &[&sent.submission.bundle.encode()]);
    let proof = OneTimeProof {
        key: key.public_key(),
        key_signature: verifier.unblind(&name, &seed, &signed).unwrap(),
        signature: key.sign(&bundle).unwrap(),
    };
    assert_eq!(check(sent.record(name), &sent.known(), proof), Ok(()));
}

#[test]
fn a_statement_is_voted_for_when_its_authority_signed_it() {
    let genesis = genesis(1).hash();
    let check = |signed: SignedEpochStatement| {
        let transaction = Transaction::of_statements(&genesis, vec![signed], &keys(0).vote);
        let (evidence, known) = (Evidence::default(), Known::default());
        evidence.check(
            &transaction.unwrap(),
            &Configured,
            &known,
            &mut BTreeSet::new(),
        )
    };
    let key = EpochKey {
        authority: MAKER.into(),
        family: FAMILY.into(),
        ..sent().epoch
    };
    let signed = stated(EpochStatement::Key(key.clone()));
    assert_eq!(check(signed.clone()), Ok(()));
    let later = EpochKey {
        time: Timestamp::from_unix(START + 1),
        ..key
    };
    let moved = SignedEpochStatement {
        statement: EpochStatement::Key(later),
        ..signed
    };
    assert_eq!(check(moved), Err(EvidenceError::Statement(0)));
    // Signed well, but by nobody whom this validator knows under that name.
    let stranger = stated(EpochStatement::Key(sent().epoch));
    assert_eq!(check(stranger), Err(EvidenceError::Statement(0)));
}
