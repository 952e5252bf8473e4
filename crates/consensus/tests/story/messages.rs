//! What members say to one another reads back as it was written, and nothing else reads.

use birthmark_consensus::message::{
    ProposedBlock, Purpose, SentBlock, SentTransaction, SignedProposal, SignedVote, VoteBundle,
};
use birthmark_consensus::{BareProposal, Message, Misbehaviour, Offer, Proposal};
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{Height, Known, Tip, ValidatorId, Vote, VoteKind, VoteSigner as _};
use proptest::prelude::*;

use crate::library::*;

fn vote(block: Option<&str>) -> SignedVote {
    let vote = Vote {
        chain: genesis(1).hash(),
        kind: VoteKind::Precommit,
        height: Height::new(812),
        round: 3,
        block: block.map(digest),
    };
    SignedVote::sign(vote, &keys(0).vote).unwrap()
}

fn signed_proposal(block: &str) -> SignedProposal {
    let proposed = ProposedBlock {
        proposer: ValidatorId::of(&keys(0).vote.public_key()),
        chain: genesis(1).hash(),
        height: Height::new(812),
        round: 3,
        valid_round: Some(1),
        block: digest(block),
    };
    SignedProposal::sign(proposed, &keys(0).vote).unwrap()
}

fn proposal() -> Proposal {
    let (tip, known) = (Tip::genesis(&genesis(1)), Known::default());
    let offer = offer(vec![photo("one"), photo("two")]);
    let mut builder = tip.builder(at(5.0), &known);
    builder.add(offer.transaction).unwrap();
    Proposal {
        block: builder.finish(
            ValidatorId::of(&keys(0).vote.public_key()),
            *tip.index(),
            None,
        ),
        evidence: vec![offer.evidence],
    }
}

fn every_kind() -> Vec<Message> {
    let lines = vec![NoteSignature {
        name: "library-1.example".into(),
        key_id: [1, 2, 3, 4],
        signature: vec![7; 72],
    }];
    let height = Height::new(7);
    vec![
        Message::Status(height),
        Message::Vote(vote(None)),
        Message::Vote(vote(Some("a"))),
        Message::Proposal(signed_proposal("a")),
        Message::Votes(VoteBundle {
            purpose: Purpose::Polka,
            votes: vec![vote(Some("a")), vote(None)],
        }),
        Message::Body {
            height,
            proposal: proposal().encode().into(),
        },
        Message::WantBody {
            height,
            block: digest("a"),
        },
        Message::BareBody {
            height,
            proposal: BareProposal::of(&proposal().block).encode().into(),
        },
        Message::WantTransactions {
            height,
            block: digest("a"),
            places: vec![0, 3, 999],
        },
        Message::Transactions {
            height,
            block: digest("a"),
            transactions: vec![SentTransaction {
                place: 3,
                transaction: vec![1; 300],
                evidence: vec![2; 100],
            }],
        },
        Message::WantBlocks(height),
        Message::Blocks(vec![SentBlock {
            block: vec![1; 300],
            certificate: vec![2; 100],
            lines: lines.clone(),
        }]),
        Message::Lines { height, lines },
        Message::WantLines(height),
    ]
}

#[test]
fn every_message_reads_back_and_no_shorter_or_longer_one_reads_as_it() {
    let chain = genesis(1).hash();
    for message in every_kind() {
        let bytes = message.encode();
        assert_eq!(Message::parse(&bytes, &chain).unwrap(), message);
        let has_open_end = matches!(message, Message::Body { .. } | Message::BareBody { .. });
        if !has_open_end {
            assert!(Message::parse(&[bytes.as_slice(), &[0]].concat(), &chain).is_err());
            for length in 0..bytes.len() {
                assert!(
                    Message::parse(&bytes[..length], &chain).is_err(),
                    "{message:?} of {length} bytes"
                );
            }
        }
    }
}

#[test]
fn a_vote_of_another_registry_or_another_member_does_not_hold() {
    let (set, said) = (genesis(1).validators, vote(Some("a")));
    assert!(said.holds(&set));
    let bytes = Message::Vote(said).encode();
    let Message::Vote(elsewhere) = Message::parse(&bytes, &genesis(2).hash()).unwrap() else {
        panic!("a vote");
    };
    assert!(!elsewhere.holds(&set));
    let stranger = SignedVote::sign(said.vote, &keys(3).vote).unwrap();
    assert!(!stranger.holds(&set));
    let proposal = signed_proposal("a");
    assert!(proposal.holds(&set));
    let mut bent = proposal;
    bent.proposed.round = 4;
    assert!(!bent.holds(&set));
}

#[test]
fn only_a_contradiction_of_one_member_in_one_place_is_misbehaviour() {
    let set = genesis(1).validators;
    let (a, b, none) = (vote(Some("a")), vote(Some("b")), vote(None));
    assert!(Misbehaviour::Votes(a, b).holds(&set));
    assert!(Misbehaviour::Votes(a, none).holds(&set));
    assert!(!Misbehaviour::Votes(a, a).holds(&set));
    let later = SignedVote::sign(Vote { round: 4, ..b.vote }, &keys(0).vote).unwrap();
    assert!(!Misbehaviour::Votes(a, later).holds(&set));
    let stranger = SignedVote::sign(b.vote, &keys(3).vote).unwrap();
    assert!(!Misbehaviour::Votes(a, stranger).holds(&set));
    let mut forged = b;
    forged.signature = a.signature;
    assert!(!Misbehaviour::Votes(a, forged).holds(&set));
    let (one, other) = (signed_proposal("a"), signed_proposal("b"));
    assert!(Misbehaviour::Proposals(one, other).holds(&set));
    assert!(!Misbehaviour::Proposals(one, one).holds(&set));
}

#[test]
fn a_proposal_reads_back_with_its_evidence() {
    let proposal = proposal();
    let bytes = proposal.encode();
    assert_eq!(Proposal::parse(&bytes).unwrap(), proposal);
    for length in 0..bytes.len() {
        assert!(Proposal::parse(&bytes[..length]).is_err());
    }
}

#[test]
fn nobody_asks_for_one_transaction_many_times_in_one_message() {
    let wanted = |places: &[u16]| {
        let message = Message::WantTransactions {
            height: Height::new(7),
            block: digest("a"),
            places: places.to_vec(),
        };
        Message::parse(&message.encode(), &genesis(1).hash())
    };
    assert!(wanted(&[0, 1, 999]).is_ok());
    assert!(wanted(&[0; 1000]).is_err());
    assert!(wanted(&[1, 0]).is_err());
}

#[test]
fn a_block_of_names_reads_back_and_becomes_the_proposal_again() {
    let whole = proposal();
    let bare = BareProposal::of(&whole.block);
    let bytes = bare.encode();
    assert_eq!(BareProposal::parse(&bytes).unwrap(), bare);
    for length in 0..bytes.len() {
        assert!(BareProposal::parse(&bytes[..length]).is_err());
    }
    assert_eq!(bare.block(), whole.block.hash());
    let transactions = whole.block.transactions.iter().cloned();
    let offers = transactions.zip(whole.evidence.iter().cloned());
    let offers = offers.map(|(transaction, evidence)| Offer {
        transaction,
        evidence,
    });
    assert_eq!(bare.with(offers.collect()), whole);
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let chain = genesis(1).hash();
        if let Ok(message) = Message::parse(&bytes, &chain) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}
