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

use birthmark_ledger::Height;
use birthmark_ledger::block::MAX_TRANSACTIONS;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::validators::MAX_VALIDATORS;
use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader, put_short_text};

mod signed;

pub use signed::{ProposedBlock, Purpose, SignedProposal, SignedVote, VoteBundle};

/// How many bytes a message may have: a proposal with all of its evidence, or some blocks.
pub const MAX_MESSAGE_BYTES: usize = 9 << 20;
/// How many decided blocks one answer holds at most.
const MAX_BLOCKS: usize = 256;
/// How many lines under one checkpoint are carried.
const MAX_LINES: usize = 2 * MAX_VALIDATORS;
/// A cosignature has 72 bytes, a log's signature 64.
const MAX_LINE_BYTES: usize = 256;

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
