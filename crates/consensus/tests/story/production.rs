//! From a pool to blocks.

use birthmark_consensus::*;
use birthmark_ledger::*;

use crate::library::*;

#[tokio::test]
async fn what_waits_is_registered_exactly_once_in_full_blocks() {
    let memory = Memory::default();
    for batch in 0..25 {
        let records = (0..100).map(|n| photo(&format!("{batch}-{n}"))).collect();
        memory.push(offer(records), at(10.0));
    }
    let mut library = library(&memory);
    let mut sizes = Vec::new();
    let mut now = 10.0;
    while let Step::Committed(decided) = library.step(at(now)).await.unwrap() {
        sizes.push(decided.block.header.records);
        now += if sizes.len() == 2 { 1.0 } else { 0.01 };
    }
    assert_eq!(sizes, [1000, 1000, 500]);
    assert!(memory.state().pool.is_empty());
    let mut photos = memory.photos();
    assert_eq!(photos.len(), 2500);
    photos.sort_unstable();
    photos.dedup();
    assert_eq!(photos.len(), 2500);
    audit(&memory);
}

#[tokio::test]
async fn one_photo_waits_for_company_and_then_goes_alone() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(10.0));
    assert_eq!(library.step(at(10.2)).await.unwrap(), Step::Wait(at(10.7)));
    let decided = committed(library.step(at(10.7)).await.unwrap());
    assert_eq!(
        (decided.block.header.records, decided.block.header.time),
        (1, at(10.7))
    );
    assert_eq!(decided.certificate.signatures.len(), 1);
    assert_eq!(library.step(at(11.1)).await.unwrap(), Step::Wait(at(610.7)));
}

#[tokio::test]
async fn a_quiet_registry_shows_that_it_lives() {
    let memory = Memory::default();
    let mut library = library(&memory);
    assert_eq!(
        library.step(at(599.0)).await.unwrap(),
        Step::Wait(at(600.0))
    );
    let decided = committed(library.step(at(600.0)).await.unwrap());
    assert_eq!(decided.block.header.records, 0);
    audit(&memory);
}

#[tokio::test]
async fn an_edit_follows_its_original_even_within_a_block() {
    let memory = Memory::default();
    let original = photo("original");
    let edit = |name: &str, from: &str| {
        let image = birthmark_protocol::ImageClaim {
            level: birthmark_protocol::ModificationLevel::MODIFIED,
            ..photo(name).images()[0]
        };
        let bundle =
            birthmark_protocol::Bundle::new(vec![image], photo(name).time(), None).unwrap();
        Record::edited(bundle, digest(from), origin(Source::Server)).unwrap()
    };
    memory.push(offer(vec![original]), at(10.0));
    memory.push(on_my_word(edit("cropped", "original")), at(10.0));
    memory.push(on_my_word(edit("orphan", "nowhere")), at(10.0));
    let mut library = library(&memory);
    let decided = committed(library.step(at(11.0)).await.unwrap());
    assert_eq!(decided.block.header.records, 2);
    let reasons: Vec<_> = memory.state().discarded.values().cloned().collect();
    assert_eq!(
        reasons,
        ["record 0 is edited from an image that is not registered"]
    );
    memory.push(on_my_word(edit("later", "cropped")), at(20.0));
    assert_eq!(
        committed(library.step(at(21.0)).await.unwrap())
            .block
            .header
            .records,
        1
    );
}

#[tokio::test]
async fn one_bad_transaction_never_touches_the_others() {
    let memory = Memory::default();
    let mut foreign = offer(vec![photo("foreign")]);
    foreign.transaction =
        Transaction::sign(&genesis(1).hash(), vec![photo("foreign")], &keys(9).vote).unwrap();
    let mut unvouched = offer(vec![photo("unvouched")]);
    unvouched.evidence.vouching = vec![Vouching::Word];
    for offer in [
        offer(vec![photo("first")]),
        foreign.clone(),
        unvouched.clone(),
        offer(vec![photo("last")]),
    ] {
        memory.push(offer, at(10.0));
    }
    let decided = committed(library(&memory).step(at(11.0)).await.unwrap());
    assert_eq!(decided.block.header.records, 2);
    assert_eq!(memory.photos(), [digest("first"), digest("last")]);
    let state = memory.state();
    let reason = |offer: &Offer| state.discarded[&offer.transaction.hash()].clone();
    assert_eq!(
        reason(&foreign),
        "the submitter is not a validator at this height"
    );
    assert_eq!(
        reason(&unvouched),
        "record 0 has no verdict, and the submitter's word is not enough for it"
    );
}

#[tokio::test]
async fn a_committed_transaction_offered_again_is_not_registered_again() {
    let memory = Memory::default();
    let mut library = library(&memory);
    let same = offer(vec![photo("one")]);
    memory.push(same.clone(), at(10.0));
    committed(library.step(at(11.0)).await.unwrap());
    memory.push(same, at(12.0));
    assert!(matches!(
        library.step(at(13.0)).await.unwrap(),
        Step::Wait(_)
    ));
    assert_eq!(memory.photos().len(), 1);
    assert!(memory.state().pool.is_empty());
}

#[tokio::test]
async fn what_cannot_enter_yet_makes_no_empty_blocks() {
    let memory = Memory::default();
    let mut library = library(&memory);
    let ahead = photo_at("ahead", START + 10 + 1000, Source::CameraToken);
    memory.push(offer(vec![ahead]), at(10.0));
    for second in 11..60 {
        let step = library.step(at(second.into())).await.unwrap();
        assert_eq!(step, Step::Wait(at(f64::from(second) + 0.7)));
    }
    assert_eq!(memory.state().pool.len(), 1);
    let decided = committed(library.step(at(500.0)).await.unwrap());
    assert_eq!(decided.block.header.records, 1);
}

#[tokio::test]
async fn a_submission_server_counts_by_its_librarys_word_only() {
    let memory = Memory::default();
    let word = |source, number: u8| {
        let records = vec![photo_at(&format!("{source:?} {number}"), START, source)];
        let transaction =
            Transaction::sign(&genesis(1).hash(), records, &keys(number).vote).unwrap();
        Offer {
            transaction,
            evidence: Evidence {
                vouching: vec![Vouching::Word],
                ..Evidence::default()
            },
        }
    };
    for offer in [
        word(Source::Server, 0),
        word(Source::Server, 5),
        word(Source::CameraToken, 0),
    ] {
        memory.push(offer, at(10.0));
    }
    committed(library(&memory).step(at(11.0)).await.unwrap());
    assert_eq!(memory.photos(), [digest("Server 0")]);
    assert_eq!(memory.state().discarded.len(), 2);
}
