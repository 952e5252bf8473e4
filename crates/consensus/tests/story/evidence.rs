//! That an authority vouched: every way to pretend it did is refused.

use std::collections::BTreeSet;

use birthmark_consensus::*;
use birthmark_ledger::*;
use birthmark_protocol::{Assurance, Opening, VerdictItem};
use proptest::prelude::*;

use crate::library::*;

fn check(records: Vec<Record>, evidence: &Evidence) -> Result<(), EvidenceError> {
    evidence.check(&transaction(records), &Configured, &mut BTreeSet::new())
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
    let item = VerdictItem {
        assurance: Assurance::Attested,
        ..yes(&attested)
    };
    assert_eq!(
        check(vec![attested.clone()], &with_item(&attested, item)),
        Ok(())
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
        ..origin(Source::CameraCertificate)
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
    assert_eq!(evidence.check(&transaction, &Configured, &mut used), Ok(()));
    let again = evidence.check(&transaction, &Configured, &mut used);
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
