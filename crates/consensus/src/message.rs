//! What validators say to one another while they agree, and the bytes in which they say it.
//!
//! Votes, proposals and certificates are ours: the engine never sees these bytes and writes none of
//! its own. A vote is the ledger's [`Vote`], so a stored certificate is nothing but votes that were
//! sent here. The registry is not written: signatures cover it, so what was said in another
//! registry does not verify in this one.
//!
//! ```text
//! u8 kind
//!   1 status:    u64 height of the sender's last block
//!   2 vote:      vote
//!   3 proposal:  32 proposer, u64 height, u32 round, u8 0|1 and u32 valid round, 32 block hash, 64 signature
//!   4 votes:     u8 purpose (1 polka, 2 skip, 3 precommits), u8 number, each a vote
//!   5 body:      u64 height, then a proposal (see there) up to the end
//!   6 want body: u64 height, 32 block hash
//!   7 want blocks: u64 first height
//!   8 blocks:    u16 number, each: u32 + block, u32 + certificate, lines
//!   9 lines:     u64 height, lines
//!   10 want lines: u64 height
//!   11 bare body: u64 height, then a bare proposal (see there) up to the end
//!   12 want transactions: u64 height, 32 block hash, u16 number, each, ascending: u16 place in the block
//!   13 transactions: u64 height, 32 block hash, u16 number, each: u16 place in the block, u32 + transaction, u32 + evidence
//! vote:  32 validator, u8 kind (1 prevote, 2 precommit), u64 height, u32 round, u8 0|1 and 32 block hash, 64 signature
//! lines: u16 number, each: u8 + name, 4 key id, u16 + signature
//! ```

use std::sync::Arc;

use birthmark_ledger::block::MAX_TRANSACTIONS;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::validators::MAX_VALIDATORS;
use birthmark_ledger::{
    Height, SigningError, ValidatorId, ValidatorSet, Vote, VoteKind, VoteSigner,
};
use birthmark_protocol::bytes::{DecodeError, Reader, put_optional32, put_short_text};
use birthmark_protocol::{Digest, Signature};

/// How many bytes a message may have: a proposal with all of its evidence, or some blocks.
pub const MAX_MESSAGE_BYTES: usize = 9 << 20;
/// How many decided blocks one answer holds at most.
const MAX_BLOCKS: usize = 256;
/// How many lines under one checkpoint are carried.
const MAX_LINES: usize = 2 * MAX_VALIDATORS;
/// A cosignature has 72 bytes, a log's signature 64.
const MAX_LINE_BYTES: usize = 256;

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

/// A decided block as a member that was away gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentBlock {
    /// Its canonical bytes.
    pub block: Vec<u8>,
    /// Its certificate's canonical bytes.
    pub certificate: Vec<u8>,
    /// The lines under its checkpoint that the sender knows.
    pub lines: Vec<NoteSignature>,
}

/// A transaction of a proposed block, for a member that lacks it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentTransaction {
    /// Where in the block, from 0.
    pub place: u16,
    /// Its canonical bytes.
    pub transaction: Vec<u8>,
    /// See [`crate::Evidence::encode`].
    pub evidence: Vec<u8>,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// How far the sender is.
    Status(Height),
    /// A vote.
    Vote(SignedVote),
    /// A proposal, by its hash.
    Proposal(SignedProposal),
    /// Votes that belong together.
    Votes(VoteBundle),
    /// A proposed block with its evidence.
    Body {
        /// The height it is for.
        height: Height,
        /// See [`crate::Proposal::encode`].
        proposal: Arc<[u8]>,
    },
    /// A proposed block by the names of its transactions.
    BareBody {
        /// The height it is for.
        height: Height,
        /// See [`crate::BareProposal::encode`].
        proposal: Arc<[u8]>,
    },
    /// Asks for transactions of a proposed block that are not here.
    WantTransactions {
        /// The height it is for.
        height: Height,
        /// The block.
        block: Digest,
        /// Where they stand in it, from 0.
        places: Vec<u16>,
    },
    /// Transactions of a proposed block.
    Transactions {
        /// The height it is for.
        height: Height,
        /// The block.
        block: Digest,
        /// The transactions.
        transactions: Vec<SentTransaction>,
    },
    /// Asks for a proposed block that did not arrive.
    WantBody {
        /// The height it is for.
        height: Height,
        /// The block.
        block: Digest,
    },
    /// Asks for decided blocks from this height on.
    WantBlocks(Height),
    /// Some decided blocks that follow one another.
    Blocks(Vec<SentBlock>),
    /// Lines under the checkpoint after a block.
    Lines {
        /// The block.
        height: Height,
        /// The lines.
        lines: Vec<NoteSignature>,
    },
    /// Asks for the lines under the checkpoint after a block.
    WantLines(Height),
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

impl Message {
    /// The bytes that are sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Status(height) => put_kind_height(&mut out, 1, *height),
            Self::Vote(vote) => {
                out.push(2);
                vote.put(&mut out);
            }
            Self::Proposal(proposal) => {
                out.push(3);
                proposal.put(&mut out);
            }
            Self::Votes(votes) => {
                out.push(4);
                votes.put(&mut out);
            }
            Self::Body { height, proposal } => {
                put_kind_height(&mut out, 5, *height);
                out.extend_from_slice(proposal);
            }
            Self::WantBody { height, block } => {
                put_kind_height(&mut out, 6, *height);
                out.extend(block.as_bytes());
            }
            Self::WantBlocks(from) => put_kind_height(&mut out, 7, *from),
            Self::Blocks(blocks) => {
                out.push(8);
                out.extend((blocks.len() as u16).to_be_bytes());
                blocks.iter().for_each(|block| block.put(&mut out));
            }
            Self::Lines { height, lines } => {
                put_kind_height(&mut out, 9, *height);
                put_lines(&mut out, lines);
            }
            Self::WantLines(height) => put_kind_height(&mut out, 10, *height),
            Self::BareBody { height, proposal } => {
                put_kind_height(&mut out, 11, *height);
                out.extend_from_slice(proposal);
            }
            Self::WantTransactions {
                height,
                block,
                places,
            } => {
                put_of_block(&mut out, 12, *height, block, places.len());
                out.extend(places.iter().flat_map(|place| place.to_be_bytes()));
            }
            Self::Transactions {
                height,
                block,
                transactions,
            } => {
                put_of_block(&mut out, 13, *height, block, transactions.len());
                transactions.iter().for_each(|sent| sent.put(&mut out));
            }
        }
        out
    }

    /// Reads exactly one message that was said in the registry `chain`.
    pub fn parse(bytes: &[u8], chain: &Digest) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::Value("length of a message"));
        }
        let mut reader = Reader::new(bytes);
        let message = match reader.byte("kind of message")? {
            1 => Self::Status(take_height(&mut reader)?),
            2 => Self::Vote(SignedVote::take(&mut reader, chain)?),
            3 => Self::Proposal(SignedProposal::take(&mut reader, chain)?),
            4 => Self::Votes(VoteBundle::take(&mut reader, chain)?),
            5 => {
                let height = take_height(&mut reader)?;
                let proposal = reader.slice(reader.remaining(), "proposal")?.into();
                Self::Body { height, proposal }
            }
            6 => Self::WantBody {
                height: take_height(&mut reader)?,
                block: reader.array("block hash")?.into(),
            },
            7 => Self::WantBlocks(take_height(&mut reader)?),
            8 => {
                let count = usize::from(u16::from_be_bytes(reader.array("number of blocks")?));
                if count > MAX_BLOCKS {
                    return Err(DecodeError::Value("number of blocks"));
                }
                let blocks = (0..count).map(|_| SentBlock::take(&mut reader));
                Self::Blocks(blocks.collect::<Result<_, _>>()?)
            }
            9 => Self::Lines {
                height: take_height(&mut reader)?,
                lines: take_lines(&mut reader)?,
            },
            10 => Self::WantLines(take_height(&mut reader)?),
            11 => {
                let height = take_height(&mut reader)?;
                let proposal = reader.slice(reader.remaining(), "bare proposal")?.into();
                Self::BareBody { height, proposal }
            }
            12 => {
                let (height, block, count) = take_of_block(&mut reader)?;
                Self::WantTransactions {
                    height,
                    block,
                    places: take_places(&mut reader, count)?,
                }
            }
            13 => {
                let (height, block, count) = take_of_block(&mut reader)?;
                let sent = (0..count).map(|_| SentTransaction::take(&mut reader));
                Self::Transactions {
                    height,
                    block,
                    transactions: sent.collect::<Result<_, _>>()?,
                }
            }
            _ => return Err(DecodeError::Value("kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

impl SentTransaction {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.place.to_be_bytes());
        for part in [&self.transaction, &self.evidence] {
            put_long(out, part);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            place: u16::from_be_bytes(reader.array("place in a block")?),
            transaction: take_long(reader, "transaction")?,
            evidence: take_long(reader, "evidence")?,
        })
    }
}

impl SentBlock {
    fn put(&self, out: &mut Vec<u8>) {
        for part in [&self.block, &self.certificate] {
            put_long(out, part);
        }
        put_lines(out, &self.lines);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            block: take_long(reader, "block")?,
            certificate: take_long(reader, "certificate")?,
            lines: take_lines(reader)?,
        })
    }
}

fn put_long(out: &mut Vec<u8>, part: &[u8]) {
    out.extend((part.len() as u32).to_be_bytes());
    out.extend(part);
}

fn take_long(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    let length = u32::from_be_bytes(reader.array(what)?) as usize;
    reader.slice(length, what).map(<[u8]>::to_vec)
}

fn put_of_block(out: &mut Vec<u8>, kind: u8, height: Height, block: &Digest, count: usize) {
    put_kind_height(out, kind, height);
    out.extend(block.as_bytes());
    out.extend((count as u16).to_be_bytes());
}

fn take_of_block(reader: &mut Reader<'_>) -> Result<(Height, Digest, usize), DecodeError> {
    let (height, block) = (take_height(reader)?, reader.array("block hash")?.into());
    let count = usize::from(u16::from_be_bytes(reader.array("number of transactions")?));
    if count > MAX_TRANSACTIONS {
        return Err(DecodeError::Value("number of transactions"));
    }
    Ok((height, block, count))
}

/// Each place once, in order: whoever asked for one a thousand times would be sent it as often.
fn take_places(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u16>, DecodeError> {
    let mut places: Vec<u16> = Vec::with_capacity(count);
    for _ in 0..count {
        let place = u16::from_be_bytes(reader.array("place in a block")?);
        if places.last().is_some_and(|last| place <= *last) {
            return Err(DecodeError::Value("place in a block"));
        }
        places.push(place);
    }
    Ok(places)
}

fn put_kind_height(out: &mut Vec<u8>, kind: u8, height: Height) {
    out.push(kind);
    out.extend(height.get().to_be_bytes());
}

fn take_height(reader: &mut Reader<'_>) -> Result<Height, DecodeError> {
    let height = u64::from_be_bytes(reader.array("height")?);
    // The engine adds small numbers to heights.
    if height > u64::MAX / 2 {
        return Err(DecodeError::Value("height"));
    }
    Ok(Height::new(height))
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

fn put_lines(out: &mut Vec<u8>, lines: &[NoteSignature]) {
    let fitting = |line: &&NoteSignature| {
        line.signature.len() <= MAX_LINE_BYTES && line.name.len() <= usize::from(u8::MAX)
    };
    let lines: Vec<_> = lines.iter().filter(fitting).take(MAX_LINES).collect();
    out.extend((lines.len() as u16).to_be_bytes());
    for line in lines {
        let is_written = put_short_text(out, &line.name);
        debug_assert!(is_written, "longer names were left out");
        out.extend(line.key_id);
        out.extend((line.signature.len() as u16).to_be_bytes());
        out.extend(&line.signature);
    }
}

fn take_lines(reader: &mut Reader<'_>) -> Result<Vec<NoteSignature>, DecodeError> {
    let count = usize::from(u16::from_be_bytes(reader.array("number of lines")?));
    if count > MAX_LINES {
        return Err(DecodeError::Value("number of lines"));
    }
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.short_text("name of a line")?.to_owned();
        let key_id = reader.array("key id")?;
        let length = usize::from(u16::from_be_bytes(reader.array("length of a line")?));
        if length > MAX_LINE_BYTES {
            return Err(DecodeError::Value("length of a line"));
        }
        lines.push(NoteSignature {
            name,
            key_id,
            signature: reader.slice(length, "line")?.to_vec(),
        });
    }
    Ok(lines)
}
