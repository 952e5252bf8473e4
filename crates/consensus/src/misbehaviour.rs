//! What proves that a member said two things where one is allowed. Anybody who knows the set can
//! check it.
//!
//! ```text
//! u8 version (1)
//! u8 1 two votes, 2 two proposals, and both (see [`crate::message`])
//! ```

use std::fmt;

use birthmark_ledger::{Height, ValidatorId, ValidatorSet, VoteKind};
use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::message::{SignedProposal, SignedVote};

/// The version of the encoding this program writes.
const VERSION: u8 = 1;

/// Two contradicting statements of one member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misbehaviour {
    /// Two votes of one kind in one round.
    Votes(SignedVote, SignedVote),
    /// Two proposals for one round.
    Proposals(SignedProposal, SignedProposal),
}

impl Misbehaviour {
    /// Who said both.
    pub const fn validator(&self) -> &ValidatorId {
        match self {
            Self::Votes(one, _) => &one.validator,
            Self::Proposals(one, _) => &one.proposed.proposer,
        }
    }

    /// Where.
    pub const fn height(&self) -> Height {
        match self {
            Self::Votes(one, _) => one.vote.height,
            Self::Proposals(one, _) => one.proposed.height,
        }
    }

    /// Whether both statements are a member's, in one place, and contradict each other.
    pub fn holds(&self, set: &ValidatorSet) -> bool {
        match self {
            Self::Votes(one, other) => {
                let place = |vote: &SignedVote| {
                    let kind = vote.vote.kind;
                    (vote.validator, vote.vote.height, vote.vote.round, kind)
                };
                place(one) == place(other)
                    && one.vote.block != other.vote.block
                    && one.holds(set)
                    && other.holds(set)
            }
            Self::Proposals(one, other) => {
                let place = |proposal: &SignedProposal| {
                    let proposed = &proposal.proposed;
                    (proposed.proposer, proposed.height, proposed.round)
                };
                place(one) == place(other)
                    && one.proposed != other.proposed
                    && one.holds(set)
                    && other.holds(set)
            }
        }
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Votes(one, other) => {
                out.push(1);
                one.put(&mut out);
                other.put(&mut out);
            }
            Self::Proposals(one, other) => {
                out.push(2);
                one.put(&mut out);
                other.put(&mut out);
            }
        }
        out
    }

    /// Reads what [`Misbehaviour::encode`] wrote in the registry `chain`.
    pub fn parse(bytes: &[u8], chain: &Digest) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let read = match reader.byte("kind of misbehaviour")? {
            1 => Self::Votes(
                SignedVote::take(&mut reader, chain)?,
                SignedVote::take(&mut reader, chain)?,
            ),
            2 => Self::Proposals(
                SignedProposal::take(&mut reader, chain)?,
                SignedProposal::take(&mut reader, chain)?,
            ),
            _ => return Err(DecodeError::Value("kind of misbehaviour")),
        };
        reader.end()?;
        Ok(read)
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.height();
        match self {
            Self::Votes(one, _) => {
                let round = one.vote.round;
                let kind = match one.vote.kind {
                    VoteKind::Prevote => "first vote",
                    VoteKind::Precommit => "deciding vote",
                };
                write!(f, "voted twice at height {height} (round {round}, {kind})")
            }
            Self::Proposals(one, _) => {
                let round = one.proposed.round;
                write!(f, "proposed two blocks at height {height} (round {round})")
            }
        }
    }
}
