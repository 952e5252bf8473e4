//! What goes wrong around it: stores that fail, clocks that lie, wrong keys, foreign proposals.

use birthmark_consensus::proposal::ProposeError;
use birthmark_consensus::*;
use birthmark_ledger::*;
use proptest::prelude::*;

use crate::library::*;

#[tokio::test]
async fn a_commit_that_failed_is_tried_again_at_the_same_height() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(10.0));
    memory.state().next_failure = Some(Failure::Before);
    let error = library.step(at(11.0)).await.unwrap_err();
    assert!(matches!(error, StepError::Application(Gone)) && !error.is_fatal());
    let decided = committed(library.step(at(12.0)).await.unwrap());
    assert_eq!(decided.block.header.height, Height::new(1));
    audit(&memory);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_made_twice() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(10.0));
    memory.state().next_failure = Some(Failure::After);
    assert!(library.step(at(11.0)).await.is_err());
    memory.push(offer(vec![photo("two")]), at(11.0));
    let decided = committed(library.step(at(12.0)).await.unwrap());
    assert_eq!(decided.block.header.height, Height::new(2));
    assert_eq!(memory.photos(), [digest("one"), digest("two")]);
    audit(&memory);
}

#[tokio::test]
async fn an_unreadable_store_passes() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(10.0));
    memory.state().fail_reads = true;
    for _ in 0..3 {
        assert!(matches!(
            library.step(at(11.0)).await,
            Err(StepError::Application(Gone))
        ));
    }
    memory.state().fail_reads = false;
    committed(library.step(at(12.0)).await.unwrap());
}

#[tokio::test]
async fn a_clock_far_behind_signs_nothing_and_a_little_behind_goes_on() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(100.0));
    committed(library.step(at(101.0)).await.unwrap());
    memory.push(offer(vec![photo("two")]), at(50.0));
    let error = library.step(at(60.0)).await.unwrap_err();
    assert!(
        matches!(error, StepError::ClockBehind { behind: 41_001 }) && !error.is_fatal(),
        "{error}"
    );
    let decided = committed(library.step(at(80.0)).await.unwrap());
    assert_eq!(decided.block.header.time, at(101.001));
    audit(&memory);
}

#[tokio::test]
async fn who_is_not_alone_or_has_the_wrong_keys_makes_no_blocks() {
    let memory = Memory::default();
    memory.state().genesis = Some(genesis(2));
    let error = library(&memory).step(at(700.0)).await.unwrap_err();
    assert!(matches!(error, StepError::NotAlone(_)) && error.is_fatal());
    memory.state().genesis = None;
    let chain_id = genesis(1).chain_id;
    for keys in [
        keys(3),
        ValidatorKeys {
            vote: keys(0).vote,
            checkpoint: keys(3).checkpoint,
        },
    ] {
        let mut stranger =
            SingleValidator::new(memory.clone(), keys, chain_id.clone(), Pacing::default());
        assert!(matches!(
            stranger.step(at(700.0)).await,
            Err(StepError::NotAlone(_))
        ));
    }
    assert!(memory.state().chain.is_empty());
}

async fn refusal(memory: &Memory, proposal: &Proposal) -> Refusal {
    let tip = memory.tip().await.unwrap();
    match validate(memory, &tip, proposal, at(11.0)).await {
        Err(ProposeError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_validator_votes_for_no_bent_proposal() {
    let memory = Memory::default();
    memory.push(offer(vec![photo("one")]), at(10.0));
    memory.push(offer(vec![photo("two")]), at(10.0));
    let tip = memory.tip().await.unwrap();
    let proposer = ValidatorId::of(&keys(0).vote.public_key());
    let good = propose(&memory, &tip, proposer, at(11.0)).await.unwrap();
    assert!(validate(&memory, &tip, &good, at(11.0)).await.is_ok());

    let mut early = good.clone();
    early.block.header.time = at(41.002);
    assert_eq!(
        refusal(&memory, &early).await,
        Refusal::ClockLead { ahead: 30_002 }
    );
    let mut bare = good.clone();
    bare.evidence.pop();
    assert_eq!(
        refusal(&memory, &bare).await,
        Refusal::EvidenceCount {
            found: 1,
            expected: 2
        }
    );
    let mut swapped = good.clone();
    swapped.evidence.swap(0, 1);
    let error = EvidenceError::NotCovered(0);
    assert_eq!(
        refusal(&memory, &swapped).await,
        Refusal::Evidence { position: 0, error }
    );
    let mut hidden = good.clone();
    hidden.block.header.index_root = digest("an index that hides something");
    assert!(matches!(
        refusal(&memory, &hidden).await,
        Refusal::Block(BlockError::Header("index root"))
    ));
    let mut shortened = good.clone();
    shortened.block.transactions.pop();
    shortened.evidence.pop();
    assert!(matches!(
        refusal(&memory, &shortened).await,
        Refusal::Block(BlockError::Header(_))
    ));
}

#[tokio::test]
async fn a_validator_votes_for_no_index_that_it_did_not_compute() {
    let memory = Memory::default();
    let mut library = library(&memory);
    memory.push(offer(vec![photo("one")]), at(0.0));
    committed(library.step(at(10.0)).await.unwrap());
    memory.push(offer(vec![photo("two")]), at(10.0));
    let tip = memory.tip().await.unwrap();
    let proposer = ValidatorId::of(&keys(0).vote.public_key());
    let good = propose(&memory, &tip, proposer, at(11.0)).await.unwrap();
    assert_eq!(good.block.header.index_height, Height::new(1));
    assert!(validate(&memory, &tip, &good, at(11.0)).await.is_ok());
    let mut lie = good.clone();
    lie.block.header.index_root = digest("an index that hides something");
    let wrong = Refusal::IndexRoot(Height::new(1));
    assert_eq!(refusal(&memory, &lie).await, wrong);
    memory.state().index_is_behind = true;
    let behind = Refusal::IndexBehind(Height::new(1));
    assert_eq!(refusal(&memory, &good).await, behind);
}

/// What happens in one second of a bad day.
#[derive(Clone, Debug)]
enum Event {
    Arrive(u8),
    FailCommit(bool),
    Restart,
    ClockBack(u8),
    Pass(u8),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u8..40).prop_map(Event::Arrive),
        1 => any::<bool>().prop_map(Event::FailCommit),
        1 => Just(Event::Restart),
        1 => (1u8..120).prop_map(Event::ClockBack),
        3 => (0u8..5).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn on_a_bad_day_everything_is_still_registered_exactly_once(events in proptest::collection::vec(any_event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let arrived = runtime.block_on(bad_day(events));
        prop_assert!(arrived.is_ok(), "{:?}", arrived);
    }
}

async fn bad_day(events: Vec<Event>) -> Result<(), String> {
    let memory = Memory::default();
    let (mut validator, mut now, mut expected) = (library(&memory), 10.0, Vec::new());
    for event in events {
        match event {
            Event::Arrive(count) => {
                let name = |n: u8| format!("{}-{n}", expected.len());
                let records: Vec<_> = (0..count).map(|n| photo(&name(n))).collect();
                expected.extend(records.iter().map(|record| record.images()[0].digest));
                memory.push(offer(records), at(now));
            }
            Event::FailCommit(before) => {
                let failure = if before {
                    Failure::Before
                } else {
                    Failure::After
                };
                memory.state().next_failure = Some(failure);
            }
            Event::Restart => validator = library(&memory),
            Event::ClockBack(seconds) => now -= f64::from(seconds),
            Event::Pass(seconds) => now += f64::from(seconds),
        }
        let _ = validator.step(at(now)).await;
    }
    memory.state().next_failure = None;
    for _ in 0..100 {
        now += 10.0;
        validator
            .step(at(now.max(200.0)))
            .await
            .map_err(|error| error.to_string())?;
    }
    audit(&memory);
    let mut registered = memory.photos();
    registered.sort_unstable();
    expected.sort_unstable();
    if registered == expected {
        Ok(())
    } else {
        Err(format!("{} of {}", registered.len(), expected.len()))
    }
}
