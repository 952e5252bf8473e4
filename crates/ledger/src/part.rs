//! The registry in parts that anybody can keep: the blocks around 1,024 records each, and 256
//! decided headers each.
//!
//! Whoever wants one record fetches the part that holds it and cuts the receipt himself: the
//! answerer learns the part, not the record. All parts together are the registry.
//!
//! ```text
//! records  u8 1 ‖ varint length ‖ frontier before the first block ‖ varint number of blocks, each:
//!               varint length ‖ block ‖ varint length ‖ certificate
//! headers  u8 1 ‖ varint number of headers, each: 293 header ‖ varint length ‖ certificate
//! ```
//!
//! Blocks are those with records of the part, in order; those at its ends may stand in its
//! neighbours, too. Nothing in a part is believed: a receipt that was cut from it is verified like
//! any other.

use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::block::{Block, BlockFormatError, MAX_TRANSACTIONS, transactions_root};
use crate::certificate::CommitCertificate;
use crate::handover::Handover;
use crate::header::{BlockHeader, Height};
use crate::label::ChainId;
use crate::merkle::{Frontier, MerkleError};
use crate::receipt::{DecidedHeader, Receipt, ReceiptError};
use crate::record::Record;
use crate::tip::count_records;
use crate::varint;

/// The version of both encodings.
pub const PART_VERSION: u8 = 1;
/// How many records one part is about.
pub const PART_RECORDS: u64 = 1024;
/// How many headers one part has.
pub const PART_HEADERS: u64 = 256;
/// The longest frontier or certificate: 64 hashes, or a hundred signatures, with room.
const MOST_BESIDE: usize = 64 << 10;

/// The blocks around some records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordsPart {
    before: Frontier,
    blocks: Vec<(Block, CommitCertificate)>,
}

/// Headers that follow one another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadersPart {
    headers: Vec<DecidedHeader>,
}

/// Why bytes are no part of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The layout is wrong.
    #[error("not a part of a registry: {0}")]
    Decode(#[from] DecodeError),
    /// One of its blocks is none.
    #[error("block {position} of the part: {error}")]
    Block {
        /// Where in the part, from 0.
        position: usize,
        /// What is wrong with it.
        error: BlockFormatError,
    },
    /// The frontier is none.
    #[error("the frontier of the part: {0}")]
    Frontier(#[from] MerkleError),
    /// A block does not begin where the one before ended.
    #[error("block {0} does not follow the one before it in this part")]
    Gap(Height),
    /// A block holds other records than its header says.
    #[error("block {0} does not hold the records that its header says")]
    Tree(Height),
    /// A header does not follow.
    #[error("the header of height {0} does not follow the one before it in this part")]
    Order(Height),
}

impl RecordsPart {
    /// Writes a part from stored bytes: the frontier before the first block, then each block with
    /// its certificate.
    pub fn write<'a>(
        before: &[u8],
        blocks: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Vec<u8> {
        let mut out = vec![PART_VERSION];
        put(&mut out, before);
        varint::put(&mut out, blocks.len() as u64);
        for (block, certificate) in blocks {
            put(&mut out, block);
            put(&mut out, certificate);
        }
        out
    }

    /// Reads exactly one part.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartError> {
        let mut reader = Reader::new(bytes);
        take_version(&mut reader)?;
        let before = Frontier::parse(take(&mut reader, MOST_BESIDE, "frontier")?)?;
        // Every block has a record of the part, or it would not be here.
        let most = PART_RECORDS as usize;
        let count = varint::take_count(&mut reader, 0, most, "number of blocks")?;
        let (mut blocks, mut next) = (Vec::new(), before.size());
        for position in 0..count {
            let block = take(&mut reader, crate::rules::MAX_BLOCK_BYTES, "block")?;
            let block =
                Block::parse(block).map_err(|error| PartError::Block { position, error })?;
            let certificate =
                CommitCertificate::parse(take(&mut reader, MOST_BESIDE, "certificate")?)?;
            if block.header.first_index() != next
                || count_records(&block.transactions) != block.header.records as usize
            {
                return Err(PartError::Gap(block.header.height));
            }
            next = block.header.tree_size;
            blocks.push((block, certificate));
        }
        reader.end()?;
        Ok(Self { before, blocks })
    }

    /// The blocks, in order, each with who decided it.
    pub fn blocks(&self) -> &[(Block, CommitCertificate)] {
        &self.blocks
    }

    /// Whether the blocks hold what their headers say: each tree of records is grown again from the
    /// frontier, and each list of transactions hashed. What is said about the headers themselves is
    /// for the caller to check.
    pub fn check(&self) -> Result<(), PartError> {
        let mut frontier = self.before.clone();
        for (block, _) in &self.blocks {
            block
                .leaf_hashes()
                .into_iter()
                .for_each(|leaf| frontier.append(leaf));
            let transactions = transactions_root(&block.transactions, block.change.as_ref());
            let header = &block.header;
            if frontier.root() != header.tree_root || transactions != header.transactions_root {
                return Err(PartError::Tree(header.height));
            }
        }
        Ok(())
    }

    /// The record at an index, if it is here. Nothing about it is proven.
    pub fn record(&self, index: u64) -> Option<&Record> {
        let (block, _) = self.block_of(index)?;
        let found = block.records().find(|(at, ..)| *at == index);
        found.map(|(_, _, record)| record)
    }

    fn block_of(&self, index: u64) -> Option<&(Block, CommitCertificate)> {
        let holds =
            |header: &BlockHeader| (header.first_index()..header.tree_size).contains(&index);
        self.blocks.iter().find(|(block, _)| holds(&block.header))
    }

    /// Cuts the receipt of a record, with the anchor it names and every handover of validators that
    /// is known.
    pub fn receipt(
        &self,
        chain_id: ChainId,
        index: u64,
        anchor: Option<DecidedHeader>,
        handovers: &[Handover],
    ) -> Result<Receipt, ReceiptError> {
        let missing = ReceiptError::NoRecord(index);
        let (block, certificate) = self.block_of(index).ok_or(missing)?;
        let mut before = self.before.clone();
        let earlier = self.blocks.iter().map(|(block, _)| block);
        earlier
            .take_while(|earlier| earlier.header.height < block.header.height)
            .flat_map(Block::leaf_hashes)
            .for_each(|leaf| before.append(leaf));
        let earlier = handovers
            .iter()
            .filter(|handover| handover.header.height < block.header.height);
        Receipt::cut(
            chain_id,
            block,
            certificate.clone(),
            &before,
            index,
            anchor,
            earlier.cloned().collect(),
        )
    }
}

impl HeadersPart {
    /// Writes a part from stored bytes: each header with its certificate.
    pub fn write<'a>(headers: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        let mut out = vec![PART_VERSION];
        varint::put(&mut out, headers.len() as u64);
        for (header, certificate) in headers {
            out.extend(header);
            put(&mut out, certificate);
        }
        out
    }

    /// Reads exactly one part: headers of heights that follow one another, each naming the one
    /// before.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartError> {
        let mut reader = Reader::new(bytes);
        take_version(&mut reader)?;
        let count = varint::take_count(&mut reader, 0, MAX_TRANSACTIONS, "number of headers")?;
        let mut headers: Vec<DecidedHeader> = Vec::new();
        for _ in 0..count {
            let header = BlockHeader::take(&mut reader)?;
            let certificate =
                CommitCertificate::parse(take(&mut reader, MOST_BESIDE, "certificate")?)?;
            let follows = |last: &DecidedHeader| {
                header.height == last.header.height.next() && header.previous == last.header.hash()
            };
            if !headers.last().is_none_or(follows) {
                return Err(PartError::Order(header.height));
            }
            headers.push(DecidedHeader {
                header,
                certificate,
            });
        }
        reader.end()?;
        Ok(Self { headers })
    }

    /// The headers, ascending.
    pub fn headers(&self) -> &[DecidedHeader] {
        &self.headers
    }

    /// The header of a height, if it is here.
    pub fn at(&self, height: Height) -> Option<&DecidedHeader> {
        self.headers.iter().find(|one| one.header.height == height)
    }
}

/// Which part holds a record.
pub const fn part_of_record(index: u64) -> u64 {
    index / PART_RECORDS
}

/// Which part holds the header of a height; heights begin with 1.
pub const fn part_of_height(height: Height) -> u64 {
    height.get().saturating_sub(1) / PART_HEADERS
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend(bytes);
}

fn take<'a>(
    reader: &mut Reader<'a>,
    most: usize,
    what: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let length = varint::take_count(reader, 0, most, what)?;
    reader.slice(length, what)
}

fn take_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.byte("version of the part")? {
        PART_VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}
