//! A block: a header, the transactions it adds, and rarely a change of validators.
//!
//! ```text
//! 293  header
//! varint  number of transactions (0–1,000), then each transaction
//! u8   0|1 and then the set change
//! ```
//!
//! The transactions root is the RFC 6962 root over the transactions' bytes, with the set change, if
//! any, as the last leaf.

use std::collections::BTreeSet;

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::change::{ChangeError, SetChange};
use crate::header::{BlockHeader, Height};
use crate::merkle;
use crate::record::Record;
use crate::rules::MAX_BLOCK_BYTES;
use crate::transaction::{Transaction, TransactionError, TransactionHash};
use crate::varint;

/// How many transactions any block can hold; the rules of its height may allow fewer.
pub const MAX_TRANSACTIONS: usize = 1000;

/// A block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// What is voted on.
    pub header: BlockHeader,
    /// What it adds.
    pub transactions: Vec<Transaction>,
    /// Who decides from the next height on, if that changes.
    pub change: Option<SetChange>,
}

/// What a block's validity depends on outside of itself and the tip: the store is asked once for
/// all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lookups {
    /// Images other images were edited from: at which lowest level is each registered?
    pub originals: BTreeSet<Digest>,
    /// Which of these transactions are already in a block?
    pub transactions: BTreeSet<TransactionHash>,
    /// Blocks that records are anchored to: which hash does each have?
    pub anchors: BTreeSet<Height>,
    /// Names of one-time keys: which of them stand in a record already?
    pub one_time_keys: BTreeSet<Digest>,
}

/// Why bytes are not a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockFormatError {
    /// Longer than any block.
    #[error("a block has at most {MAX_BLOCK_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// The layout is wrong.
    #[error("not a block: {0}")]
    Decode(#[from] DecodeError),
    /// One of its transactions is none.
    #[error("transaction {position}: {error}")]
    Transaction {
        /// Where in the block, from 0.
        position: usize,
        /// What is wrong with it.
        error: TransactionError,
    },
    /// Its set change is none.
    #[error("set change: {0}")]
    Change(#[from] ChangeError),
}

impl Block {
    /// The block's hash.
    pub fn hash(&self) -> Digest {
        self.header.hash()
    }

    /// Every record with its index in the registry and the transaction it came in.
    pub fn records(&self) -> impl Iterator<Item = (u64, &Transaction, &Record)> {
        let first = self.header.first_index();
        let records = self
            .transactions
            .iter()
            .flat_map(|tx| tx.records().iter().map(move |record| (tx, record)));
        (first..)
            .zip(records)
            .map(|(index, (tx, record))| (index, tx, record))
    }

    /// Every digest with the index of the record that holds it.
    pub fn digests(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.records().flat_map(|(index, _, record)| {
            let images = record.images().iter();
            images.map(move |image| (image.digest, index))
        })
    }

    /// The leaf hashes of its records, in order.
    pub fn leaf_hashes(&self) -> Vec<Digest> {
        self.transactions
            .iter()
            .flat_map(Transaction::leaf_hashes)
            .collect()
    }

    /// What must be looked up before the block can be judged.
    pub fn lookups(&self) -> Lookups {
        Lookups::of(&self.transactions)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        varint::put(&mut out, self.transactions.len() as u64);
        self.transactions
            .iter()
            .for_each(|transaction| out.extend(transaction.encode()));
        out.push(u8::from(self.change.is_some()));
        out.extend(self.change.iter().flat_map(SetChange::encode));
        out
    }

    /// Reads exactly one block.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlockFormatError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockFormatError::TooLong(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        let header = BlockHeader::take(&mut reader)?;
        let count = varint::take_count(&mut reader, 0, MAX_TRANSACTIONS, "number of transactions")?;
        let mut transactions = Vec::new();
        for position in 0..count {
            let transaction = Transaction::take(&mut reader);
            transactions.push(
                transaction.map_err(|error| BlockFormatError::Transaction { position, error })?,
            );
        }
        let change = if reader.flag("set change")? {
            Some(SetChange::take(&mut reader)?)
        } else {
            None
        };
        reader.end()?;
        Ok(Self {
            header,
            transactions,
            change,
        })
    }
}

impl Lookups {
    /// What must be looked up for these transactions.
    pub fn of(transactions: &[Transaction]) -> Self {
        let records = || transactions.iter().flat_map(Transaction::records);
        Self {
            originals: records().filter_map(Record::edited_from).collect(),
            anchors: records().filter_map(Record::anchor).collect(),
            transactions: transactions.iter().map(Transaction::hash).collect(),
            one_time_keys: records()
                .filter_map(Record::spent)
                .map(|spent| spent.name)
                .collect(),
        }
    }
}

/// The root a header carries over its transactions and set change.
pub(crate) fn transactions_root(
    transactions: &[Transaction],
    change: Option<&SetChange>,
) -> Digest {
    let bytes = transactions
        .iter()
        .map(Transaction::encode)
        .chain(change.map(SetChange::encode));
    merkle::root(bytes.map(|bytes| merkle::leaf_hash(&bytes)))
}
