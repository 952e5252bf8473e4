//! What a validator signs while it agrees: votes, proposals, and votes that are sent together.

use birthmark_ledger::validators::MAX_VALIDATORS;
use birthmark_ledger::{
    Height, SigningError, ValidatorId, ValidatorSet, Vote, VoteKind, VoteSigner,
};
use birthmark_protocol::bytes::{DecodeError, Reader, put_optional32};
use birthmark_protocol::{Digest, Signature};

use super::take_height;

const PROPOSAL_DOMAIN: &[u8] = b"birthmark/proposal/v1\0";

/// A vote and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedVote {
    /// Who voted.
    pub validator: ValidatorId,
    /// What for.
    pub vote: Vote,
    /// By the validator's vote key over [`Vote::signed_bytes`].
    pub signature: Signature,
}

/// That a validator whose turn it is proposes a block, by its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProposedBlock {
    /// Whose turn it is.
    pub proposer: ValidatorId,
    /// The registry, by its genesis hash.
    pub chain: Digest,
    /// The height to decide.
    pub height: Height,
    /// The attempt at this height, from 0.
    pub round: u32,
    /// The earlier attempt in which more than two thirds voted for this block, if it is proposed
    /// again.
    pub valid_round: Option<u32>,
    /// The block.
    pub block: Digest,
}

/// The same, signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedProposal {
    /// What is proposed.
    pub proposed: ProposedBlock,
    /// By the proposer's vote key over [`ProposedBlock::signed_bytes`].
    pub signature: Signature,
}

/// Why some votes are sent together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// More than two thirds prevoted one block.
    Polka,
    /// More than one third is in a later round.
    Skip,
    /// More than two thirds precommitted, but not one block.
    Precommits,
}

/// Votes that together let others follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoteBundle {
    /// What they show.
    pub purpose: Purpose,
    /// The votes.
    pub votes: Vec<SignedVote>,
}

impl SignedVote {
    /// Signs a vote.
    pub fn sign(vote: Vote, key: &impl VoteSigner) -> Result<Self, SigningError> {
        let signature = key.sign(&vote.signed_bytes())?.normalized();
        Ok(Self {
            validator: ValidatorId::of(&key.public_key()),
            vote,
            signature,
        })
    }

    /// Whether a member of the set made it.
    pub fn holds(&self, set: &ValidatorSet) -> bool {
        let member = set.get(&self.validator);
        member.is_some_and(|member| {
            let message = self.vote.signed_bytes();
            member.vote_key.verify(&message, &self.signature).is_ok()
        })
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.validator.as_bytes());
        out.push(match self.vote.kind {
            VoteKind::Prevote => 1,
            VoteKind::Precommit => 2,
        });
        out.extend(self.vote.height.get().to_be_bytes());
        out.extend(self.vote.round.to_be_bytes());
        put_optional32(out, self.vote.block.as_ref().map(Digest::as_bytes));
        out.extend(self.signature.to_bytes());
    }

    pub(crate) fn take(reader: &mut Reader<'_>, chain: &Digest) -> Result<Self, DecodeError> {
        let validator = ValidatorId::from_bytes(reader.array("voter")?);
        let kind = match reader.byte("kind of vote")? {
            1 => VoteKind::Prevote,
            2 => VoteKind::Precommit,
            _ => return Err(DecodeError::Value("kind of vote")),
        };
        let vote = Vote {
            chain: *chain,
            kind,
            height: take_height(reader)?,
            round: u32::from_be_bytes(reader.array("round")?),
            block: reader.optional32("block of a vote")?.map(Digest::from),
        };
        Ok(Self {
            validator,
            vote,
            signature: take_signature(reader)?,
        })
    }
}

impl ProposedBlock {
    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = PROPOSAL_DOMAIN.to_vec();
        out.extend(self.chain.as_bytes());
        self.put(&mut out);
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.proposer.as_bytes());
        out.extend(self.height.get().to_be_bytes());
        out.extend(self.round.to_be_bytes());
        out.push(u8::from(self.valid_round.is_some()));
        out.extend(
            self.valid_round
                .iter()
                .flat_map(|round| round.to_be_bytes()),
        );
        out.extend(self.block.as_bytes());
    }
}

impl SignedProposal {
    /// Signs a proposal.
    pub fn sign(proposed: ProposedBlock, key: &impl VoteSigner) -> Result<Self, SigningError> {
        let signature = key.sign(&proposed.signed_bytes())?.normalized();
        Ok(Self {
            proposed,
            signature,
        })
    }

    /// Whether a member of the set made it. Whether it was its turn is the engine's question.
    pub fn holds(&self, set: &ValidatorSet) -> bool {
        let member = set.get(&self.proposed.proposer);
        member.is_some_and(|member| {
            let message = self.proposed.signed_bytes();
            member.vote_key.verify(&message, &self.signature).is_ok()
        })
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.proposed.put(out);
        out.extend(self.signature.to_bytes());
    }

    pub(crate) fn take(reader: &mut Reader<'_>, chain: &Digest) -> Result<Self, DecodeError> {
        let proposed = ProposedBlock {
            proposer: ValidatorId::from_bytes(reader.array("proposer")?),
            chain: *chain,
            height: take_height(reader)?,
            round: u32::from_be_bytes(reader.array("round")?),
            valid_round: match reader.flag("valid round")? {
                true => Some(u32::from_be_bytes(reader.array("valid round")?)),
                false => None,
            },
            block: reader.array("block hash")?.into(),
        };
        Ok(Self {
            proposed,
            signature: take_signature(reader)?,
        })
    }
}

impl VoteBundle {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.purpose {
            Purpose::Polka => 1,
            Purpose::Skip => 2,
            Purpose::Precommits => 3,
        });
        out.push(self.votes.len() as u8);
        self.votes.iter().for_each(|vote| vote.put(out));
    }

    pub(crate) fn take(reader: &mut Reader<'_>, chain: &Digest) -> Result<Self, DecodeError> {
        let purpose = match reader.byte("purpose of votes")? {
            1 => Purpose::Polka,
            2 => Purpose::Skip,
            3 => Purpose::Precommits,
            _ => return Err(DecodeError::Value("purpose of votes")),
        };
        let count = usize::from(reader.byte("number of votes")?);
        if count == 0 || count > 2 * MAX_VALIDATORS {
            return Err(DecodeError::Value("number of votes"));
        }
        let votes = (0..count).map(|_| SignedVote::take(reader, chain));
        Ok(Self {
            purpose,
            votes: votes.collect::<Result<_, _>>()?,
        })
    }
}

/// Only the one form of a signature that certificates store, so that no relay can make two of one.
fn take_signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let signature = Signature::from_bytes(&reader.array("signature")?);
    let signature = signature.map_err(|_| DecodeError::Value("signature"))?;
    if signature.normalized() == signature {
        Ok(signature)
    } else {
        Err(DecodeError::Value("high s of a signature"))
    }
}
