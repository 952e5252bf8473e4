//! What goes into a machine, and what it wants done.

use std::sync::Arc;

use birthmark_ledger::{SigningError, ValidatorId};
use birthmark_protocol::{Digest, Signature};

use crate::message::{Message, SignedProposal, SignedVote, VoteBundle};
use crate::misbehaviour::Misbehaviour;

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerKind {
    /// The proposal did not come.
    Propose,
    /// The first votes did not agree.
    Prevote,
    /// The second votes did not agree.
    Precommit,
    /// Say again what was said in this round.
    Rebroadcast,
}

/// When something did not happen in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timer {
    pub kind: TimerKind,
    pub round: u32,
}

/// What a crash must not make us forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A vote, ours or another's.
    Vote(SignedVote),
    /// A proposal, by its hash.
    Proposal(SignedProposal),
    /// A polka.
    Polka(VoteBundle),
    /// How a proposed block was judged.
    Judged {
        round: u32,
        proposer: ValidatorId,
        block: Digest,
        is_valid: bool,
    },
    /// A timer that ran out.
    Timeout(Timer),
    /// A proposed block with its evidence. The engine does not see it.
    Body(Arc<[u8]>),
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Vote(SignedVote),
    Proposal(SignedProposal),
    Votes(VoteBundle),
    /// A proposed block was judged.
    Judged {
        round: u32,
        proposer: ValidatorId,
        block: Digest,
        is_valid: bool,
    },
    /// The block to propose in this round, if it still runs.
    Propose {
        round: u32,
        block: Digest,
    },
    Timeout(Timer),
}

/// What must be done, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Write this down; it must be on the disk before anything after it is sent.
    Log(Entry),
    /// Send this to all.
    Publish(Message),
    /// Send the block again.
    Restream(Digest),
    Schedule(Timer),
    Cancel(Timer),
    CancelAll,
    /// Make a block for this round.
    Build {
        round: u32,
    },
    /// A round began.
    Round {
        round: u32,
        proposer: ValidatorId,
    },
    /// More than two thirds precommitted this block.
    Decided {
        round: u32,
        block: Digest,
        signatures: Vec<(ValidatorId, Signature)>,
    },
    /// A member said two things where one is allowed.
    Misbehaved(Misbehaviour),
}

/// Why an event was not processed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MachineError {
    /// The key did not sign; the height can be begun again from its log.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Going on could contradict what was signed before.
    #[error("{0}")]
    Unsafe(String),
    /// The engine gave up on this event; the height can be begun again from its log.
    #[error("{0}")]
    Engine(String),
}
