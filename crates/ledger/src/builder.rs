//! Building the next block, one transaction at a time, so that a bad one never spoils the others.

use crate::block::{Block, transactions_root};
use crate::change::SetChange;
use crate::fault::TransactionFault;
use crate::header::{BlockHeader, BlockTime, IndexRoot};
use crate::rules::Rules;
use crate::tip::{Earlier, Known, Tip, count_records};
use crate::transaction::Transaction;
use crate::validators::ValidatorId;

/// Room that header, counts and a set change may take.
const RESERVED_BYTES: usize = 32 << 10;

/// The next block while it grows.
pub struct BlockBuilder<'a> {
    tip: &'a Tip,
    time: BlockTime,
    known: &'a Known,
    rules: Rules,
    earlier: Earlier,
    transactions: Vec<Transaction>,
    records: usize,
    bytes: usize,
}

/// Why a transaction was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdded {
    /// It has to wait for the next block.
    #[error("the block is full")]
    Full,
    /// It breaks a rule.
    #[error(transparent)]
    Fault(#[from] TransactionFault),
}

impl Tip {
    /// Starts the next block. Its time is `now`, or just after the last block's if the clock is
    /// behind it.
    pub fn builder<'a>(&'a self, now: BlockTime, known: &'a Known) -> BlockBuilder<'a> {
        BlockBuilder::new(self, now.max(self.time().plus_millis(1)), known)
    }
}

impl<'a> BlockBuilder<'a> {
    fn new(tip: &'a Tip, time: BlockTime, known: &'a Known) -> Self {
        let rules = Rules::at(tip.height().next());
        let (earlier, transactions) = (Earlier::default(), Vec::new());
        Self {
            tip,
            time,
            known,
            rules,
            earlier,
            transactions,
            records: 0,
            bytes: RESERVED_BYTES,
        }
    }

    /// The time the block will have.
    pub const fn time(&self) -> BlockTime {
        self.time
    }

    /// Judges a transaction and adds it at the end. `known` must have answered its lookups.
    pub fn add(&mut self, transaction: Transaction) -> Result<(), NotAdded> {
        let records = self.records.saturating_add(transaction.records().len());
        let bytes = self.bytes.saturating_add(transaction.encode().len());
        let is_full = self.transactions.len() >= self.rules.max_transactions;
        if is_full || records > self.rules.max_records || bytes > self.rules.max_bytes {
            return Err(NotAdded::Full);
        }
        self.tip
            .check_after(&transaction, self.time, self.known, &mut self.earlier)?;
        (self.records, self.bytes) = (records, bytes);
        self.transactions.push(transaction);
        Ok(())
    }

    /// The block, with a header over everything added and the newest index that the proposer has:
    /// that of the tip where it has no newer one.
    pub fn finish(
        self,
        proposer: ValidatorId,
        index: IndexRoot,
        change: Option<SetChange>,
    ) -> Block {
        let Self {
            tip,
            time,
            transactions,
            ..
        } = self;
        let frontier = tip.grown(&transactions);
        let next = change
            .as_ref()
            .map_or(tip.validators(), |change| &change.next);
        let header = BlockHeader {
            chain: *tip.chain(),
            height: tip.height().next(),
            previous: *tip.hash(),
            time,
            proposer,
            records: count_records(&transactions) as u32,
            tree_size: frontier.size(),
            tree_root: frontier.root(),
            transactions_root: transactions_root(&transactions, change.as_ref()),
            validators_hash: tip.validators().hash(),
            next_validators_hash: next.hash(),
            index_height: index.height,
            index_root: index.root,
        };
        Block {
            header,
            transactions,
            change,
        }
    }
}
