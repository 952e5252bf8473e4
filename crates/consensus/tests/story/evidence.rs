//! That an authority vouched: every way to pretend it did is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use birthmark_consensus::*;
use birthmark_ledger::*;
use birthmark_protocol::one_time::RsaBytes;
use birthmark_protocol::submission::{SignedForm, Submission, SubmissionRoute};
use birthmark_protocol::{
    CameraCertificate, Commitment, Digest, Opening, Proof, PublicKey, Signature, Timestamp,
    VerdictItem,
};
use proptest::prelude::*;

use crate::library::*;

fn check(records: Vec<Record>, evidence: &Evidence) -> Result<(), EvidenceError> {
    let known = Known {
        anchors: BTreeMap::from([(Height::new(812), digest("block 812"))]),
        ..Known::default()
    };
    let used = &mut BTreeSet::new();
    evidence.check(&transaction(records), &Configured, &known, used)
}

/// A request as a camera sent it: one of the vectors of the protocol, all with keys made up for
/// tests.
pub struct Sent {
    route: SubmissionRoute,
    body: Vec<u8>,
    submission: Submission,
}

impl Sent {
    /// The request whose signature holds in this form.
    pub fn signed_as(form: &str) -> Self {
        let file = include_str!("../../../../spec/vectors/submissions.json");
        let vectors: serde_json::Value = serde_json::from_str(file).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        let case = cases
            .iter()
            .find(|case| case["signed_form"] == form)
            .unwrap();
        let route = match case["route"].as_str().unwrap() {
            "/api/v1/submit" => SubmissionRoute::Submit,
            _ => SubmissionRoute::Certificate,
        };
        let body = case["body"].as_str().unwrap().as_bytes().to_vec();
        Self {
            route,
            submission: Submission::parse(route, &body).unwrap(),
            body,
        }
    }

    pub fn record(&self, source: Source) -> Record {
        Record::new(self.submission.bundle.clone(), origin(source)).unwrap()
    }

    pub fn certificate(&self) -> &CameraCertificate {
        &self.submission.camera.signed().unwrap().certificate
    }

    pub fn commitment(&self, opening: &Opening) -> Commitment {
        Commitment::new(&self.submission.bundle_digest().unwrap(), opening)
    }

    /// The yes of an authority that was asked about this certificate.
    pub fn yes(&self, opening: &Opening, attested: bool) -> VerdictItem {
        VerdictItem {
            commitment: self.commitment(opening),
            valid: true,
            proof: Proof::Certificate {
                key: self.certificate().key().digest(),
                attested,
            },
            is_made_up: false,
            device_family: FAMILY.into(),
        }
    }

    pub fn signed(&self) -> CameraSigned {
        let signed = self.submission.camera.signed().unwrap();
        match signed.verify().unwrap() {
            SignedForm::Bundle => CameraSigned::Bundle {
                certificate: 0,
                signature: signed.signature,
            },
            _ => CameraSigned::Request {
                route: self.route,
                body: RequestBody::without(self.body.clone(), 0, self.certificate().der()),
            },
        }
    }

    pub fn evidence(&self, item: VerdictItem, opening: Opening, signed: CameraSigned) -> Evidence {
        Evidence {
            verdicts: vec![verdict(MAKER, vec![item])],
            certificates: vec![self.certificate().der().to_vec()],
            vouching: vec![Vouching::Verdict {
                verdict: 0,
                opening,
                signed,
            }],
        }
    }
}

const FORMS: [&str; 4] = ["Bundle", "Python", "CertificateLines", "HashAndTime"];

pub fn drawn() -> Opening {
    Opening::from_bytes([9; 32])
}

#[test]
fn every_voter_checks_what_the_camera_signed_in_every_form() {
    for form in FORMS {
        let sent = Sent::signed_as(form);
        for (attested, source) in [
            (false, Source::CameraCertificate),
            (true, Source::CameraAttested),
        ] {
            let item = sent.yes(&drawn(), attested);
            let evidence = sent.evidence(item, drawn(), sent.signed());
            assert_eq!(
                check(vec![sent.record(source)], &evidence),
                Ok(()),
                "{form}"
            );
            let read = Evidence::parse(&evidence.encode()).unwrap();
            assert_eq!(read, evidence);
        }
    }
}

#[test]
fn a_verdict_over_a_borrowed_certificate_carries_no_record() {
    // A dishonest validator has seen the camera's certificate and asks the authority about a
    // picture of its own.
    let camera = Sent::signed_as("Bundle");
    let forged = photo_at("forged", START, Source::CameraAttested);
    let item = VerdictItem {
        commitment: commitment(&forged),
        ..camera.yes(&drawn(), true)
    };
    let old = Sent::signed_as("CertificateLines");
    for signed in [CameraSigned::Nothing, camera.signed(), old.signed()] {
        let evidence = camera.evidence(item.clone(), opening(&forged), signed.clone());
        let refused = check(vec![forged.clone()], &evidence);
        let expected = match signed {
            CameraSigned::Request { .. } => EvidenceError::OtherClaims(0),
            _ => EvidenceError::Camera(0),
        };
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn a_verdict_for_one_key_does_not_serve_another() {
    let sent = Sent::signed_as("Bundle");
    let item = VerdictItem {
        proof: Proof::Certificate {
            key: digest("another key"),
            attested: true,
        },
        ..sent.yes(&drawn(), true)
    };
    let evidence = sent.evidence(item, drawn(), sent.signed());
    assert_eq!(
        check(vec![sent.record(Source::CameraAttested)], &evidence),
        Err(EvidenceError::Camera(0))
    );
}

#[test]
fn a_token_alone_makes_no_record_of_a_certificate_and_the_other_way_round() {
    let sent = Sent::signed_as("Bundle");
    let token = VerdictItem {
        proof: Proof::Token,
        ..sent.yes(&drawn(), true)
    };
    for source in [Source::CameraCertificate, Source::CameraAttested] {
        let evidence = sent.evidence(token.clone(), drawn(), sent.signed());
        assert_eq!(
            check(vec![sent.record(source)], &evidence),
            Err(EvidenceError::Assurance(0))
        );
    }
    let evidence = sent.evidence(sent.yes(&drawn(), false), drawn(), sent.signed());
    assert_eq!(
        check(vec![sent.record(Source::CameraAttested)], &evidence),
        Err(EvidenceError::Assurance(0))
    );
}

#[test]
fn a_rehearsal_camera_is_called_one() {
    let sent = Sent::signed_as("Bundle");
    let item = VerdictItem {
        is_made_up: true,
        ..sent.yes(&drawn(), false)
    };
    let evidence = sent.evidence(item, drawn(), sent.signed());
    let record = sent.record(Source::CameraCertificate);
    assert_eq!(
        check(vec![record.clone()], &evidence),
        Err(EvidenceError::MadeUp(0))
    );
    let origin = Origin {
        made_up_fingerprint: true,
        ..record.origin().clone()
    };
    let honest = Record::new(record.bundle().clone(), origin).unwrap();
    assert_eq!(check(vec![honest], &evidence), Ok(()));
}

#[test]
fn an_anchor_that_this_registry_does_not_have_carries_nothing() {
    let sent = Sent::signed_as("Bundle");
    let evidence = sent.evidence(sent.yes(&drawn(), false), drawn(), sent.signed());
    let records = || transaction(vec![sent.record(Source::CameraCertificate)]);
    let check = |anchors: &[(Height, Digest)]| {
        let known = Known {
            anchors: anchors.iter().copied().collect(),
            ..Known::default()
        };
        evidence.check(&records(), &Configured, &known, &mut BTreeSet::new())
    };
    let height = Height::new(812);
    assert_eq!(check(&[(height, digest("block 812"))]), Ok(()));
    assert_eq!(check(&[]), Err(EvidenceError::Anchor { record: 0, height }));
    // Another block at that height: the camera committed to another bundle.
    assert_eq!(
        check(&[(height, digest("a fork"))]),
        Err(EvidenceError::NotCovered(0))
    );
}

fn with_item(record: &Record, item: VerdictItem) -> Evidence {
    Evidence {
        verdicts: vec![verdict(MAKER, vec![item])],
        ..vouched(std::slice::from_ref(record))
    }
}

#[test]
fn one_verdict_carries_a_whole_batch() {
    let records: Vec<_> = (0..1000).map(|n| photo(&format!("{n}"))).collect();
    assert_eq!(check(records.clone(), &vouched(&records)), Ok(()));
}

#[test]
fn a_verdict_over_another_photo_carries_nothing() {
    let (one, two) = (photo("one"), photo("two"));
    let borrowed = vouched(std::slice::from_ref(&two));
    assert_eq!(
        check(vec![one.clone()], &borrowed),
        Err(EvidenceError::NotCovered(0))
    );
    let mut closed = vouched(std::slice::from_ref(&one));
    closed.vouching = vec![Vouching::Verdict {
        verdict: 0,
        opening: Opening::from_bytes([0; 32]),
        signed: CameraSigned::Nothing,
    }];
    assert_eq!(
        check(vec![one.clone()], &closed),
        Err(EvidenceError::NotCovered(0))
    );
    let mut missing = vouched(std::slice::from_ref(&one));
    missing.verdicts.clear();
    assert_eq!(
        check(vec![one], &missing),
        Err(EvidenceError::NotCovered(0))
    );
}

#[test]
fn a_no_is_no_yes() {
    let record = photo("one");
    let no = with_item(
        &record,
        VerdictItem {
            valid: false,
            ..yes(&record)
        },
    );
    assert_eq!(
        check(vec![record], &no),
        Err(EvidenceError::RefusedByAuthority(0))
    );
}

#[test]
fn a_record_claims_no_more_than_its_authority_said() {
    let record = photo("one");
    let family = with_item(
        &record,
        VerdictItem {
            device_family: "Better Camera".into(),
            ..yes(&record)
        },
    );
    assert_eq!(
        check(vec![record], &family),
        Err(EvidenceError::OtherFamily(0))
    );
    let attested = photo_at("two", START, Source::CameraAttested);
    let token = with_item(&attested, yes(&attested));
    assert_eq!(
        check(vec![attested.clone()], &token),
        Err(EvidenceError::Assurance(0))
    );
}

#[test]
fn an_unknown_authority_or_a_bent_verdict_is_refused() {
    let record = photo("one");
    let mut unknown = vouched(std::slice::from_ref(&record));
    unknown.verdicts = vec![verdict("ATTACKER", vec![yes(&record)])];
    assert_eq!(
        check(vec![record.clone()], &unknown),
        Err(EvidenceError::Signature(0))
    );
    let mut bent = vouched(std::slice::from_ref(&record));
    bent.verdicts[0].signature = verdict(MAKER, vec![yes(&photo("two"))]).signature;
    assert_eq!(
        check(vec![record.clone()], &bent),
        Err(EvidenceError::Signature(0))
    );
    let other = Origin {
        authority: "OTHER_MAKER".parse().unwrap(),
        ..origin(Source::CameraToken)
    };
    let renamed = Record::new(record.bundle().clone(), other).unwrap();
    let evidence = vouched(std::slice::from_ref(&record));
    assert_eq!(
        check(vec![renamed], &evidence),
        Err(EvidenceError::OtherAuthority(0))
    );
}

#[test]
fn one_yes_stands_behind_one_record_of_a_block() {
    let record = photo("one");
    let evidence = vouched(&[record.clone(), record.clone()]);
    let twice = check(vec![record.clone(), record.clone()], &evidence);
    assert_eq!(twice, Err(EvidenceError::Reused(1)));
    let mut used = BTreeSet::new();
    let evidence = vouched(std::slice::from_ref(&record));
    let transaction = transaction(vec![record]);
    let known = Known::default();
    let mut check = || evidence.check(&transaction, &Configured, &known, &mut used);
    assert_eq!(check(), Ok(()));
    let again = check();
    assert_eq!(again, Err(EvidenceError::Reused(0)));
}

#[test]
fn evidence_for_more_or_fewer_records_is_refused() {
    let records = vec![photo("one"), photo("two")];
    let count = EvidenceError::Count {
        found: 1,
        expected: 2,
    };
    assert_eq!(check(records.clone(), &vouched(&records[..1])), Err(count));
}

#[test]
fn evidence_with_a_foreign_version_or_a_long_verdict_does_not_read() {
    let mut bytes = vouched(&[photo("one")]).encode();
    assert!(Evidence::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    bytes[3..7].fill(0xff);
    let error = Evidence::parse(&bytes).unwrap_err().to_string();
    assert_eq!(
        error,
        "not evidence: length of a verdict has a value that is not allowed"
    );
    bytes[0] = 2;
    assert_eq!(
        Evidence::parse(&bytes).unwrap_err().to_string(),
        "not evidence: version 2 is not known"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn evidence_reads_back(words in proptest::collection::vec(any::<bool>(), 1..50)) {
        let records: Vec<_> = (0..words.len()).map(|n| photo(&format!("{n}"))).collect();
        let mut evidence = vouched(&records);
        for (vouching, word) in evidence.vouching.iter_mut().zip(words) {
            if word { *vouching = Vouching::Word }
        }
        prop_assert_eq!(Evidence::parse(&evidence.encode()).unwrap(), evidence);
    }

    #[test]
    fn any_bytes_read_as_themselves_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first = 1 }
        if let Ok(evidence) = Evidence::parse(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
        }
    }
}

/// Authorities that count how often a signature is verified.
#[derive(Default)]
struct Counting {
    verified: AtomicUsize,
    checked: CheckedBefore,
}

impl Authorities for Counting {
    fn verdict_keys(&self, authority: &Label, at: Timestamp) -> Vec<PublicKey> {
        Configured.verdict_keys(authority, at)
    }

    fn signature_holds(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        self.verified.fetch_add(1, Ordering::Relaxed);
        Configured.signature_holds(key, digest, signature)
    }

    fn key_signature_holds(&self, modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool {
        self.verified.fetch_add(1, Ordering::Relaxed);
        Configured.key_signature_holds(modulus, name, signature)
    }

    fn checked_before(&self) -> Option<&CheckedBefore> {
        Some(&self.checked)
    }

    fn accepts_word(&self, submitter: &ValidatorId, origin: &Origin) -> bool {
        Configured.accepts_word(submitter, origin)
    }
}

/// What was pushed, proposed and judged again after a failed round is verified once. Otherwise a
/// slow machine needs longer for a full block than a round lasts, and the network never decides it.
#[test]
fn evidence_that_was_found_good_is_not_verified_again_and_only_that() {
    let sent = Sent::signed_as("Bundle");
    let known = |block: &str| Known {
        anchors: BTreeMap::from([(Height::new(812), digest(block))]),
        ..Known::default()
    };
    let (known, fork) = (known("block 812"), known("a fork"));
    let evidence = |signed| sent.evidence(sent.yes(&drawn(), false), drawn(), signed);
    let (counting, good) = (Counting::default(), evidence(sent.signed()));
    let transaction = transaction(vec![sent.record(Source::CameraCertificate)]);
    let verified = || counting.verified.load(Ordering::Relaxed);
    let check = |evidence: &Evidence, used: &mut BTreeSet<Commitment>| {
        evidence.check(&transaction, &counting, &known, used)
    };
    let mut used = BTreeSet::new();
    check(&good, &mut used).unwrap();
    let once = verified();
    assert!(once > 0);
    check(&good, &mut BTreeSet::new()).unwrap();
    assert_eq!(verified(), once, "it was found good before");
    // One yes still carries one record only.
    assert_eq!(check(&good, &mut used), Err(EvidenceError::Reused(0)));
    // Other evidence for the same transaction is judged by itself, and what was refused stays
    // refused.
    let bare = evidence(CameraSigned::Nothing);
    for _ in 0..2 {
        let refused = check(&bare, &mut BTreeSet::new());
        assert_eq!(refused, Err(EvidenceError::Camera(0)));
    }
    // Nor does it carry anything where the block that it names is another one.
    let elsewhere = good.check(&transaction, &counting, &fork, &mut BTreeSet::new());
    assert_eq!(elsewhere, Err(EvidenceError::NotCovered(0)));
}
