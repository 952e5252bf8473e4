//! Why a block or a transaction cannot follow a tip.

use crate::change::ChangeError;
use crate::epochs::{KeyFault, StatementFault};
use crate::header::Height;
use crate::transaction::TransactionError;

/// Why a block cannot follow this tip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A header field is not what the tip and the transactions make it.
    #[error("the header's {0} is wrong")]
    Header(&'static str),
    /// Time does not stand still.
    #[error("the block's time is not after the one before")]
    Time,
    /// The proposer may not propose.
    #[error("the proposer is not a validator at this height")]
    Proposer,
    /// More than the rules allow.
    #[error("the block has {found} {what}; at most {most} are allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much is allowed.
        most: usize,
    },
    /// A transaction breaks a rule.
    #[error("transaction {position}: {error}")]
    Transaction {
        /// Where in the block, from 0.
        position: usize,
        /// What is wrong with it.
        error: TransactionFault,
    },
    /// The set change may not stand here.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a transaction cannot stand in the next block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionFault {
    /// Only validators submit.
    #[error("the submitter is not a validator at this height")]
    Submitter,
    /// Its signature does not hold.
    #[error(transparent)]
    Signature(#[from] TransactionError),
    /// It is already in a block, or twice in this one.
    #[error("the transaction is already registered")]
    Repeated,
    /// A record's camera time lies too far after the block's.
    #[error("record {record} is from the future")]
    Future {
        /// Where in the transaction, from 0.
        record: usize,
    },
    /// A camera cannot have checked a block that is not decided yet.
    #[error("record {record} is anchored to block {anchor}, which is not before its own")]
    Anchor {
        /// Where in the transaction, from 0.
        record: usize,
        /// The block it names.
        anchor: Height,
    },
    /// A simulation in a registry that is no rehearsal.
    #[error(
        "record {record} says that its pixels came from no sensor; this registry is no rehearsal"
    )]
    Rehearsal {
        /// Where in the transaction, from 0.
        record: usize,
    },
    /// A record's one-time key does not count.
    #[error("record {record}: {error}")]
    OneTimeKey {
        /// Where in the transaction, from 0.
        record: usize,
        /// Why.
        error: KeyFault,
    },
    /// A statement about an epoch cannot be registered.
    #[error("statement {statement}: {error}")]
    Statement {
        /// Where in the transaction, from 0.
        statement: usize,
        /// Why.
        error: StatementFault,
    },
    /// A record is edited from an image nobody registered before it.
    #[error("record {record} is edited from an image that is not registered")]
    UnknownOriginal {
        /// Where in the transaction, from 0.
        record: usize,
    },
    /// An edited image claims to be closer to the sensor than its original.
    #[error("record {record} has a lower modification level than its original")]
    LevelFalls {
        /// Where in the transaction, from 0.
        record: usize,
    },
}

impl TransactionFault {
    /// Whether the transaction can never enter a block. A clock that is behind, a block or an epoch
    /// that is still missing pass by themselves.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Future { .. } | Self::Anchor { .. } => false,
            Self::OneTimeKey { error, .. } => !error.is_temporary(),
            Self::Statement { error, .. } => !error.is_temporary(),
            _ => true,
        }
    }
}
