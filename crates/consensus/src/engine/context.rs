//! Our types as the engine wants to see them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_malachitebft_core_types as core;
use birthmark_ledger::{Height, ValidatorId, ValidatorSet, Vote, VoteKind};
use birthmark_protocol::{Digest, PublicKey, Signature};
use core::{NilOrVal, Round};

use crate::message::{ProposedBlock, SignedProposal, SignedVote};

/// What the engine is told about us: which registry it works for.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    pub chain: Digest,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub(super) struct At(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(pub ValidatorId);

/// A block, by its hash. The block itself never passes through the engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId(pub Digest);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Signed(pub [u8; 64]);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Key(pub PublicKey);

/// Never made: the key stays with whoever signs for us.
#[derive(Clone)]
pub(super) enum NoKey {}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ballot {
    pub vote: Vote,
    pub voter: Member,
    value: NilOrVal<BlockId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Offered {
    pub height: At,
    pub round: Round,
    pub valid_round: Round,
    pub block: BlockId,
    pub proposer: Member,
}

/// Blocks are not streamed in parts through the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoPart {}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    member: Member,
    key: Key,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Set(Arc<Vec<Entry>>);

/// The driver computes durations itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct NoTimeouts;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ecdsa;

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signature")
    }
}

impl core::Height for At {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl core::Address for Member {}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl core::ProposalPart<Registry> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

impl core::Timeouts<Registry> for NoTimeouts {
    fn duration_for(&self, _timeout: core::Timeout) -> Duration {
        Duration::MAX
    }
}

impl core::Validator<Registry> for Entry {
    fn address(&self) -> &Member {
        &self.member
    }

    fn public_key(&self) -> &Key {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        1
    }
}

impl Set {
    pub fn of(set: &ValidatorSet) -> Self {
        let entry = |validator: &birthmark_ledger::Validator| Entry {
            member: Member(validator.id()),
            key: Key(validator.vote_key.clone()),
        };
        Self(Arc::new(set.validators().iter().map(entry).collect()))
    }
}

impl core::ValidatorSet<Registry> for Set {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }

    fn get_by_address(&self, address: &Member) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.member == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Entry> {
        self.0.get(index)
    }
}

impl core::SigningScheme for Ecdsa {
    type DecodingError = &'static str;
    type Signature = Signed;
    type PublicKey = Key;
    type PrivateKey = NoKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signed, &'static str> {
        bytes.try_into().map(Signed).map_err(|_| "not 64 bytes")
    }

    fn encode_signature(signature: &Signed) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Key, &'static str> {
        let key = PublicKey::from_sec1(bytes).map_err(|_| "not a P-256 point")?;
        Ok(Key(key))
    }

    fn encode_public_key(key: &Key) -> Vec<u8> {
        key.0.to_compressed().to_vec()
    }
}

impl Ballot {
    pub fn new(vote: Vote, voter: ValidatorId) -> Self {
        let value = vote
            .block
            .map_or(NilOrVal::Nil, |block| NilOrVal::Val(BlockId(block)));
        Self {
            vote,
            voter: Member(voter),
            value,
        }
    }
}

impl core::Vote<Registry> for Ballot {
    fn height(&self) -> At {
        At(self.vote.height.get())
    }

    fn round(&self) -> Round {
        Round::new(self.vote.round)
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> core::VoteType {
        match self.vote.kind {
            VoteKind::Prevote => core::VoteType::Prevote,
            VoteKind::Precommit => core::VoteType::Precommit,
        }
    }

    fn validator_address(&self) -> &Member {
        &self.voter
    }

    // Votes are not extended: cosignatures travel by themselves, after the block.
    fn extension(&self) -> Option<&core::SignedExtension<Registry>> {
        None
    }

    fn take_extension(&mut self) -> Option<core::SignedExtension<Registry>> {
        None
    }

    fn extend(self, _extension: core::SignedExtension<Registry>) -> Self {
        self
    }
}

impl core::Proposal<Registry> for Offered {
    fn height(&self) -> At {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.block
    }

    fn take_value(self) -> BlockId {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.valid_round
    }

    fn validator_address(&self) -> &Member {
        &self.proposer
    }
}

impl Registry {
    fn ballot(
        &self,
        kind: VoteKind,
        height: At,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: Member,
    ) -> Ballot {
        let vote = Vote {
            chain: self.chain,
            kind,
            height: Height::new(height.0),
            round: number(round),
            block: match value {
                NilOrVal::Nil => None,
                NilOrVal::Val(block) => Some(block.0),
            },
        };
        Ballot::new(vote, voter.0)
    }
}

impl core::Context for Registry {
    type Address = Member;
    type Height = At;
    type ProposalPart = NoPart;
    type Proposal = Offered;
    type Validator = Entry;
    type ValidatorSet = Set;
    type Timeouts = NoTimeouts;
    type Value = BlockId;
    type Vote = Ballot;
    type Extension = ();
    type SigningScheme = Ecdsa;

    /// Turns go round in the set's order, and one further with each attempt.
    #[expect(
        clippy::indexing_slicing,
        reason = "a set is never empty, and the index is below its length"
    )]
    fn select_proposer<'a>(&self, set: &'a Set, height: At, round: Round) -> &'a Entry {
        let turn = height.0.wrapping_add(u64::from(number(round)));
        &set.0[(turn % set.0.len() as u64) as usize]
    }

    fn new_proposal(
        &self,
        height: At,
        round: Round,
        block: BlockId,
        valid_round: Round,
        proposer: Member,
    ) -> Offered {
        Offered {
            height,
            round,
            valid_round,
            block,
            proposer,
        }
    }

    fn new_prevote(
        &self,
        height: At,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: Member,
    ) -> Ballot {
        self.ballot(VoteKind::Prevote, height, round, value, voter)
    }

    fn new_precommit(
        &self,
        height: At,
        round: Round,
        value: NilOrVal<BlockId>,
        voter: Member,
    ) -> Ballot {
        self.ballot(VoteKind::Precommit, height, round, value, voter)
    }
}

/// Our vote as the engine's.
pub(super) fn vote_in(vote: &SignedVote) -> core::SignedVote<Registry> {
    let ballot = Ballot::new(vote.vote, vote.validator);
    core::SignedVote::new(ballot, Signed(vote.signature.to_bytes()))
}

/// The engine's vote as ours; `None` if its signature has no form of ours, which none that came in
/// here has.
pub(super) fn vote_out(vote: &core::SignedVote<Registry>) -> Option<SignedVote> {
    Some(SignedVote {
        validator: vote.message.voter.0,
        vote: vote.message.vote,
        signature: Signature::from_bytes(&vote.signature.0).ok()?,
    })
}

pub(super) fn proposal_in(proposal: &SignedProposal) -> core::SignedProposal<Registry> {
    let proposed = &proposal.proposed;
    let offered = Offered {
        height: At(proposed.height.get()),
        round: Round::new(proposed.round),
        valid_round: Round::from(proposed.valid_round),
        block: BlockId(proposed.block),
        proposer: Member(proposed.proposer),
    };
    core::SignedProposal::new(offered, Signed(proposal.signature.to_bytes()))
}

pub(super) fn proposal_out(
    proposal: &core::SignedProposal<Registry>,
    chain: &Digest,
) -> Option<SignedProposal> {
    Some(SignedProposal {
        proposed: proposed(&proposal.message, chain),
        signature: Signature::from_bytes(&proposal.signature.0).ok()?,
    })
}

/// What the engine proposes, in our words.
pub(super) fn proposed(offered: &Offered, chain: &Digest) -> ProposedBlock {
    ProposedBlock {
        proposer: offered.proposer.0,
        chain: *chain,
        height: Height::new(offered.height.0),
        round: number(offered.round),
        valid_round: offered.valid_round.as_u32(),
        block: offered.block.0,
    }
}

/// The engine speaks of no round only before a height begins, when it neither votes nor proposes.
pub(super) fn number(round: Round) -> u32 {
    match round {
        Round::Some(round) => round,
        Round::Nil => u32::MAX,
    }
}
