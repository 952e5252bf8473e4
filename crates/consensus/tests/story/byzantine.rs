//! A proposer that lies: every honest member refuses its block, in the very function that votes.

use birthmark_consensus::*;
use birthmark_ledger::*;

use crate::evidence::{Sent, drawn};
use crate::library::*;

/// A block with a right header over these transactions, as a liar makes it: nobody asked whether
/// they were vouched for.
fn block_of(tip: &Tip, time: BlockTime, offers: &[Offer]) -> Proposal {
    let known = Known::default();
    let mut builder = tip.builder(time, &known);
    for offer in offers {
        builder.add(offer.transaction.clone()).unwrap();
    }
    let proposer = ValidatorId::of(&keys(0).vote.public_key());
    Proposal {
        block: builder.finish(proposer, *tip.index(), None),
        evidence: offers.iter().map(|offer| offer.evidence.clone()).collect(),
    }
}

async fn refusal(memory: &Memory, proposal: &Proposal) -> Refusal {
    let tip = memory.tip().await.unwrap();
    match validate(memory, &tip, proposal, at(11.0)).await {
        Err(ProposeError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn refused_evidence(offer: Offer) -> EvidenceError {
    let memory = Memory::default();
    let tip = memory.tip().await.unwrap();
    match refusal(&memory, &block_of(&tip, at(10.0), &[offer])).await {
        Refusal::Evidence { position: 0, error } => error,
        other => panic!("expected a refusal of the evidence, got {other:?}"),
    }
}

#[tokio::test]
async fn a_record_that_nobody_vouched_for() {
    let record = photo("made up");
    let on_a_word = Offer {
        transaction: transaction(vec![record.clone()]),
        evidence: Evidence {
            vouching: vec![Vouching::Word],
            ..Evidence::default()
        },
    };
    assert_eq!(refused_evidence(on_a_word).await, EvidenceError::Word(0));
    let with_anothers_yes = Offer {
        transaction: transaction(vec![record]),
        evidence: vouched(&[photo("vouched for")]),
    };
    assert_eq!(
        refused_evidence(with_anothers_yes).await,
        EvidenceError::NotCovered(0)
    );
}

#[tokio::test]
async fn a_borrowed_certificate() {
    let sent = Sent::signed_as("HashAndTime");
    let opening = drawn();
    let honest = Offer {
        transaction: transaction(vec![sent.record(Source::CameraCertificate)]),
        evidence: sent.evidence(sent.yes(&opening, false), opening, sent.signed()),
    };
    let memory = Memory::default();
    let tip = memory.tip().await.unwrap();
    let good = block_of(&tip, at(10.0), std::slice::from_ref(&honest));
    validate(&memory, &tip, &good, at(11.0)).await.unwrap();
    // The same certificate and the authority's yes to it, over a photo that its camera never
    // signed.
    let opening = drawn();
    let borrowed = Offer {
        evidence: sent.evidence(sent.yes(&opening, false), opening, CameraSigned::Nothing),
        ..honest
    };
    assert_eq!(refused_evidence(borrowed).await, EvidenceError::Camera(0));
}

#[tokio::test]
async fn a_verdict_by_a_key_that_no_authority_has() {
    let record = photo("one");
    let mut evidence = vouched(std::slice::from_ref(&record));
    evidence.verdicts = vec![foreign_verdict(MAKER, vec![yes(&record)])];
    let offer = Offer {
        transaction: transaction(vec![record]),
        evidence,
    };
    assert_eq!(refused_evidence(offer).await, EvidenceError::Signature(0));
}

#[tokio::test]
async fn a_transaction_a_second_time() {
    let memory = Memory::default();
    let once = offer(vec![photo("one")]);
    memory.push(once.clone(), at(9.0));
    let mut library = library(&memory);
    committed(library.step(at(10.0)).await.unwrap());
    let tip = memory.tip().await.unwrap();
    let again = block_of(&tip, at(10.5), std::slice::from_ref(&once));
    let error = TransactionFault::Repeated;
    let expected = BlockError::Transaction { position: 0, error };
    assert_eq!(refusal(&memory, &again).await, Refusal::Block(expected));
    // And twice in one block, under one yes.
    let fresh = offer(vec![photo("two")]);
    let mut twice = block_of(&tip, at(10.5), std::slice::from_ref(&fresh));
    twice.block.transactions.push(fresh.transaction);
    twice.evidence.push(fresh.evidence);
    assert!(matches!(refusal(&memory, &twice).await, Refusal::Block(_)));
}

#[tokio::test]
async fn a_wrong_root_and_every_other_bent_field_of_the_header() {
    let memory = Memory::default();
    let tip = memory.tip().await.unwrap();
    let good = block_of(&tip, at(10.0), &[offer(vec![photo("one")])]);
    validate(&memory, &tip, &good, at(11.0)).await.unwrap();
    let bends: [fn(&mut BlockHeader); 8] = [
        |header| header.tree_root = digest("another root"),
        |header| header.transactions_root = digest("another root"),
        |header| header.tree_size += 1,
        |header| header.records += 1,
        |header| header.previous = digest("another past"),
        |header| header.chain = digest("another registry"),
        |header| header.validators_hash = digest("others"),
        |header| header.next_validators_hash = digest("others"),
    ];
    for bend in bends {
        let mut bent = good.clone();
        bend(&mut bent.block.header);
        assert!(matches!(
            refusal(&memory, &bent).await,
            Refusal::Block(BlockError::Header(_))
        ));
    }
    let mut by_a_stranger = good;
    by_a_stranger.block.header.proposer = ValidatorId::of(&keys(3).vote.public_key());
    assert_eq!(
        refusal(&memory, &by_a_stranger).await,
        Refusal::Block(BlockError::Proposer)
    );
}

#[tokio::test]
async fn a_time_before_the_last_block_or_far_ahead() {
    let memory = Memory::default();
    memory.push(offer(vec![photo("one")]), at(9.0));
    let mut library = library(&memory);
    committed(library.step(at(10.0)).await.unwrap());
    let tip = memory.tip().await.unwrap();
    let mut back = block_of(&tip, at(10.5), &[offer(vec![photo("two")])]);
    back.block.header.time = at(10.0);
    assert_eq!(
        refusal(&memory, &back).await,
        Refusal::Block(BlockError::Time)
    );
    let mut ahead = block_of(&tip, at(10.5), &[offer(vec![photo("two")])]);
    ahead.block.header.time = at(41.001);
    assert_eq!(
        refusal(&memory, &ahead).await,
        Refusal::ClockLead { ahead: 30_001 }
    );
}
