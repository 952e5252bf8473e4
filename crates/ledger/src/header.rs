//! The header of a block: what validators vote on and receipts carry. Always 293 bytes.
//!
//! ```text
//! u8   version (1)
//! 32   chain: the genesis hash
//! u64  height, from 1
//! 32   previous: hash of the header before; of the genesis at height 1
//! i64  time, milliseconds since 1970
//! 32   proposer
//! u32  number of records in this block
//! u64  number of leaves in the whole tree, after this block
//! 32   root of the whole tree, after this block
//! 32   root over this block's transactions
//! 32   hash of the validators that decide this block
//! 32   hash of the validators that decide the next
//! u64  index height: the index of digests is that after this earlier block
//! 32   root of that index
//! ```
//!
//! Numbers are big-endian. The block hash is `SHA-256("birthmark/block/v1" ‖ header)`.

use std::fmt;

use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::validators::ValidatorId;

/// The version of the encoding this program writes.
pub const HEADER_VERSION: u8 = 1;
/// How many bytes a header has.
pub const HEADER_BYTES: usize = 293;

/// The number of a block, from 1. The genesis is height 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(u64);

/// A block's time: milliseconds since 1970, as its proposer claims and the others tolerate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockTime(i64);

/// The root of the [index](crate::index) of digests after some block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IndexRoot {
    /// After which block; 0 before the first.
    pub height: Height,
    /// The root.
    pub root: Digest,
}

/// The header of a block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockHeader {
    /// The registry, by its genesis hash.
    pub chain: Digest,
    /// Its number.
    pub height: Height,
    /// The hash of the block before.
    pub previous: Digest,
    /// When it was proposed.
    pub time: BlockTime,
    /// Who proposed it.
    pub proposer: ValidatorId,
    /// How many records it adds.
    pub records: u32,
    /// How many leaves the registry has after it.
    pub tree_size: u64,
    /// The root over all of them.
    pub tree_root: Digest,
    /// The root over its transactions.
    pub transactions_root: Digest,
    /// Who decides this block.
    pub validators_hash: Digest,
    /// Who decides the next.
    pub next_validators_hash: Digest,
    /// After which earlier block `index_root` was computed: a block never waits for its index.
    pub index_height: Height,
    /// The root of the index of digests after that block.
    pub index_root: Digest,
}

impl Height {
    /// Before the first block.
    pub const GENESIS: Self = Self(0);

    /// Takes a number.
    pub const fn new(height: u64) -> Self {
        Self(height)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The height after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BlockTime {
    /// Takes milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The whole second it falls into.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_unix(self.0.div_euclid(1000))
    }

    /// The moment `millis` later.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// How many milliseconds this lies after `earlier`; negative when it lies before.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl BlockHeader {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.push(HEADER_VERSION);
        out.extend(self.chain.as_bytes());
        out.extend(self.height.get().to_be_bytes());
        out.extend(self.previous.as_bytes());
        out.extend(self.time.millis().to_be_bytes());
        out.extend(self.proposer.as_bytes());
        out.extend(self.records.to_be_bytes());
        out.extend(self.tree_size.to_be_bytes());
        out.extend(self.tree_root.as_bytes());
        out.extend(self.transactions_root.as_bytes());
        out.extend(self.validators_hash.as_bytes());
        out.extend(self.next_validators_hash.as_bytes());
        out.extend(self.index_height.get().to_be_bytes());
        out.extend(self.index_root.as_bytes());
        out
    }

    /// The block's hash: what is voted on and what the next block points at.
    pub fn hash(&self) -> Digest {
        Digest::tagged("birthmark/block/v1", &[&self.encode()])
    }

    /// The tree's size before this block: the index of its first record.
    pub const fn first_index(&self) -> u64 {
        self.tree_size.saturating_sub(self.records as u64)
    }

    /// The index of digests that it commits to.
    pub const fn index(&self) -> IndexRoot {
        IndexRoot {
            height: self.index_height,
            root: self.index_root,
        }
    }

    /// Reads exactly one header.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Self::take(&mut reader)?;
        reader.end()?;
        Ok(header)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.byte("header version")?;
        if version != HEADER_VERSION {
            return Err(DecodeError::Version(version));
        }
        Ok(Self {
            chain: reader.array("chain")?.into(),
            height: Height(u64::from_be_bytes(reader.array("height")?)),
            previous: reader.array("previous hash")?.into(),
            time: BlockTime(i64::from_be_bytes(reader.array("time")?)),
            proposer: ValidatorId::from_bytes(reader.array("proposer")?),
            records: u32::from_be_bytes(reader.array("number of records")?),
            tree_size: u64::from_be_bytes(reader.array("tree size")?),
            tree_root: reader.array("tree root")?.into(),
            transactions_root: reader.array("transactions root")?.into(),
            validators_hash: reader.array("validators hash")?.into(),
            next_validators_hash: reader.array("next validators hash")?.into(),
            index_height: Height(u64::from_be_bytes(reader.array("index height")?)),
            index_root: reader.array("index root")?.into(),
        })
    }
}
