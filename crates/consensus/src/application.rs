//! What the node must offer so that blocks can be made: a durable pool and a store. Implemented
//! over its database.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    Block, BlockHeader, BlockTime, CommitCertificate, Height, IndexRoot, Known, Lookups, SetChange,
    Tip, Transaction, TransactionHash, ValidatorSet,
};
use birthmark_protocol::Digest;

use crate::evidence::{Authorities, Evidence};
use crate::message::SentBlock;
use crate::misbehaviour::Misbehaviour;

/// How much waits for a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// How many records wait.
    pub records: usize,
    /// Since when the oldest of them waits; `None` when nothing does.
    pub oldest: Option<BlockTime>,
}

/// A waiting transaction and what proves that its records were vouched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The signed batch.
    pub transaction: Transaction,
    /// Travels beside it, is checked, and is forgotten once the block is decided.
    pub evidence: Evidence,
}

/// A decided block with all that is stored in the same database transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The state after it. Store [`Tip::frontier`] and, when it changed, [`Tip::validators`] with
    /// the block.
    pub tip: Tip,
    /// Lines under the checkpoint of the new tree: this validator's, and of a fetched block those
    /// that came with it.
    pub checkpoint_lines: Vec<NoteSignature>,
}

/// The node, as block production sees it.
///
/// Errors of this trait are the store's: they pass, and the step is tried again. What is wrong with
/// a transaction is not an error but a reason given to [`Application::discard`].
pub trait Application: Send + Sync {
    /// What can go wrong with the store.
    type Error: Error + Send + Sync + 'static;

    /// The state after the last committed block; of the genesis before the first.
    fn tip(&self) -> impl Future<Output = Result<Tip, Self::Error>> + Send;

    /// How much waits.
    fn backlog(&self) -> impl Future<Output = Result<Backlog, Self::Error>> + Send;

    /// The longest waiting transactions, whole, together at most `records` records. They stay in
    /// the pool until they are committed or discarded: a proposal may fail, and then the same ones
    /// are offered again.
    fn waiting(
        &self,
        records: usize,
    ) -> impl Future<Output = Result<Vec<Offer>, Self::Error>> + Send;

    /// Answers what the validity of some transactions depends on, from committed blocks only.
    fn known(&self, lookups: &Lookups) -> impl Future<Output = Result<Known, Self::Error>> + Send;

    /// Takes a transaction out of the pool that can never enter a block, durably, with the reason
    /// its submitters are told.
    fn discard(
        &self,
        transaction: &TransactionHash,
        reason: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Stores block, certificate, index and tip, and removes the block's transactions and their
    /// evidence from the pool, in one database transaction. When this returns `Ok`, the block is
    /// durable. When it fails, nobody knows; the driver asks for the [`Application::tip`] again
    /// before it does anything else.
    fn commit(&self, decided: &Decided) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The newest index of digests that this node has finished and that the block after `tip` may
    /// name. An error where it has fallen so far behind that there is none: that passes.
    fn index(&self, tip: &Tip) -> impl Future<Output = Result<IndexRoot, Self::Error>> + Send;

    /// The root of this node's own index after a block; `None` if it has not finished it within a
    /// moment.
    fn index_root(
        &self,
        height: Height,
    ) -> impl Future<Output = Result<Option<Digest>, Self::Error>> + Send;

    /// The change of validators that the block after this tip is to carry, if one waits whose time
    /// has come. Nobody but a proposer asks.
    fn change(
        &self,
        _tip: &Tip,
    ) -> impl Future<Output = Result<Option<SetChange>, Self::Error>> + Send {
        std::future::ready(Ok(None))
    }

    /// The authorities as configured now.
    fn authorities(&self) -> Arc<dyn Authorities>;
}

/// A decided block's checkpoint, as far as it is cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// The block.
    pub header: BlockHeader,
    /// Who decided it and may cosign it.
    pub validators: ValidatorSet,
    /// The lines that are stored.
    pub lines: Vec<NoteSignature>,
}

/// The node, as one member of a network sees it.
pub trait Shared: Application {
    /// The highest height at which this validator may have signed a vote, as [`Shared::promise`]
    /// remembers it.
    fn promised(&self) -> impl Future<Output = Result<Height, Self::Error>> + Send;

    /// Remembers that this validator is about to sign at `height`, apart from the database. When
    /// this returns `Ok`, neither a power failure nor a restored database makes us forget it.
    fn promise(&self, height: Height) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waiting transactions by their names, whole, in this order; `None` for each that does not
    /// wait here.
    fn pooled(
        &self,
        names: &[TransactionHash],
    ) -> impl Future<Output = Result<Vec<Option<Offer>>, Self::Error>> + Send;

    /// Decided blocks that follow one another, from `from` on, together about `bytes` bytes, at
    /// least one if there is one.
    fn blocks(
        &self,
        from: Height,
        bytes: usize,
    ) -> impl Future<Output = Result<Vec<SentBlock>, Self::Error>> + Send;

    /// The checkpoint after a block; `None` if the block is not there.
    fn cosigned(
        &self,
        height: Height,
    ) -> impl Future<Output = Result<Option<Cosigned>, Self::Error>> + Send;

    /// Adds verified lines under the checkpoint after a block.
    fn add_lines(
        &self,
        height: Height,
        lines: Vec<NoteSignature>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Keeps the proof that a member contradicted itself, once, and says so.
    fn report(
        &self,
        misbehaviour: &Misbehaviour,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
