//! Proposing, judging and signing a block: the steps every driver takes, alone or with others.
//!
//! A proposal travels, and waits in the log, as
//! `u32 length ‖ block ‖ u16 number of transactions ‖ for each: u32 length ‖ evidence`.

use std::collections::BTreeSet;
use std::error::Error;

use birthmark_ledger::block::BlockFormatError;
use birthmark_ledger::{
    Block, BlockError, BlockHeader, BlockTime, Height, Known, Lookups, NotAdded, Rules, SetChange,
    SigningError, Tip, TransactionFault, TransactionHash, ValidatorId, Vote, VoteKind, VoteSigner,
};
use birthmark_protocol::Signature;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::application::{Application, Offer};
use crate::evidence::{Evidence, EvidenceError};

/// How far a block's time may be ahead of the clock of a validator that votes for it, in
/// milliseconds.
pub const MAX_CLOCK_LEAD: i64 = 30_000;

/// How many bytes the evidence of one proposal may have: what waits beyond that waits for the next
/// block.
pub const MAX_EVIDENCE_BYTES: usize = 7 << 20;

/// A block on its way to a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// The block.
    pub block: Block,
    /// For each of its transactions, in order, what proves that its records were vouched for.
    pub evidence: Vec<Evidence>,
}

/// Why bytes are not a proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalFormatError {
    /// The layout is wrong.
    #[error("not a proposal: {0}")]
    Decode(#[from] DecodeError),
    /// Its block is none.
    #[error(transparent)]
    Block(#[from] BlockFormatError),
    /// Evidence of a transaction is none.
    #[error("transaction {position}: {error}")]
    Evidence {
        /// Where in the block, from 0.
        position: usize,
        /// What is wrong.
        error: EvidenceError,
    },
}

impl Proposal {
    /// The bytes in which it travels.
    pub fn encode(&self) -> Vec<u8> {
        let block = self.block.encode();
        let mut out = (block.len() as u32).to_be_bytes().to_vec();
        out.extend(block);
        out.extend((self.evidence.len() as u16).to_be_bytes());
        for evidence in self.evidence.iter().map(Evidence::encode) {
            out.extend((evidence.len() as u32).to_be_bytes());
            out.extend(evidence);
        }
        out
    }

    /// Reads exactly one proposal.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProposalFormatError> {
        let mut reader = Reader::new(bytes);
        let length = u32::from_be_bytes(reader.array("length of the block")?) as usize;
        let block = Block::parse(reader.slice(length, "block")?)?;
        let count = usize::from(u16::from_be_bytes(reader.array("number of evidence")?));
        let mut evidence = Vec::new();
        for position in 0..count {
            let length = u32::from_be_bytes(reader.array("length of evidence")?) as usize;
            let read = Evidence::parse(reader.slice(length, "evidence")?);
            evidence.push(read.map_err(|error| ProposalFormatError::Evidence { position, error })?);
        }
        reader.end()?;
        Ok(Self { block, evidence })
    }
}

/// Why a validator does not vote for a proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is not plausible.
    #[error("the block's time is {ahead} ms ahead of this clock")]
    ClockLead {
        /// By how many milliseconds.
        ahead: i64,
    },
    /// It cannot follow the last block.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// This validator's own index has not come that far.
    #[error("this validator has not finished the index after block {0} yet")]
    IndexBehind(Height),
    /// The index is not the one that this validator has.
    #[error("the root of the index after block {0} is not the one this validator computed")]
    IndexRoot(Height),
    /// One entry of evidence per transaction.
    #[error("the evidence is for {found} transactions; the block has {expected}")]
    EvidenceCount {
        /// What there is.
        found: usize,
        /// What there should be.
        expected: usize,
    },
    /// Nobody vouched for a record.
    #[error("transaction {position}: {error}")]
    Evidence {
        /// Where in the block, from 0.
        position: usize,
        /// What is wrong.
        error: EvidenceError,
    },
}

/// Why a step of the way to a decision did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError<E: Error> {
    /// The store; it passes.
    #[error(transparent)]
    Application(E),
    /// The proposal is not voted for.
    #[error(transparent)]
    Refused(Refusal),
}

/// Builds a proposal from what waits. A transaction that can never enter a block is discarded with
/// its reason and never keeps the others waiting.
pub async fn propose<A: Application>(
    application: &A,
    tip: &Tip,
    proposer: ValidatorId,
    now: BlockTime,
) -> Result<Proposal, A::Error> {
    let rules = Rules::at(tip.height().next());
    let offers = application.waiting(rules.max_records).await?;
    let transactions: Vec<_> = offers
        .iter()
        .map(|offer| offer.transaction.clone())
        .collect();
    let known = application.known(&Lookups::of(&transactions)).await?;
    let authorities = application.authorities();
    let (mut builder, mut used, mut kept) = (tip.builder(now, &known), BTreeSet::new(), Vec::new());
    let mut evidence_bytes = 0_usize;
    for Offer {
        transaction,
        evidence,
    } in offers
    {
        let hash = transaction.hash();
        let bytes = evidence.encode().len();
        if bytes > MAX_EVIDENCE_BYTES {
            let reason = "its evidence is larger than any proposal";
            discard(application, &hash, reason).await?;
            continue;
        }
        if evidence_bytes.saturating_add(bytes) > MAX_EVIDENCE_BYTES {
            log::debug!(transaction:% = hash; "a transaction's evidence waits for a later block");
            continue;
        }
        let vouched = evidence.check(&transaction, &*authorities, &known, &mut used);
        let added = match vouched {
            Ok(()) => builder
                .add(transaction)
                .map_err(|error| (is_final(&error), error.to_string())),
            Err(error) => Err((error.is_final(), error.to_string())),
        };
        match added {
            Ok(()) => {
                evidence_bytes += bytes;
                kept.push(evidence);
            }
            Err((true, reason)) => discard(application, &hash, &reason).await?,
            Err((false, reason)) => {
                log::debug!(transaction:% = hash, reason; "a transaction waits for a later block")
            }
        }
    }
    Ok(Proposal {
        block: builder.finish(
            proposer,
            application.index(tip).await?,
            change_after(application, tip).await?,
        ),
        evidence: kept,
    })
}

/// The change of validators that waits, if every voter will take it.
async fn change_after<A: Application>(
    application: &A,
    tip: &Tip,
) -> Result<Option<SetChange>, A::Error> {
    let Some(change) = application.change(tip).await? else {
        return Ok(None);
    };
    let height = tip.height().next();
    match change.verify(tip.chain(), tip.validators(), height) {
        Ok(()) => Ok(Some(change)),
        Err(error) => {
            // One that the rules refuse must not cost this validator its turn.
            log::warn!(BLOCK_HEIGHT = height.get(); "a change of validators is not proposed: {error}");
            Ok(None)
        }
    }
}

fn is_final(error: &NotAdded) -> bool {
    match error {
        NotAdded::Full => false,
        NotAdded::Fault(fault) => TransactionFault::is_final(fault),
    }
}

async fn discard<A: Application>(
    application: &A,
    hash: &TransactionHash,
    reason: &str,
) -> Result<(), A::Error> {
    log::warn!(transaction:% = hash, reason; "a waiting transaction can never enter a block and is discarded");
    application.discard(hash, reason).await
}

/// Judges a proposal as a validator that is about to vote: the block as [`judge`] does, and its
/// evidence against the configured authorities. What comes back is the state after the block.
pub async fn validate<A: Application>(
    application: &A,
    tip: &Tip,
    proposal: &Proposal,
    now: BlockTime,
) -> Result<Tip, ProposeError<A::Error>> {
    let known = known_for(application, &proposal.block).await?;
    let next = judge_with(tip, &proposal.block, &known, now).map_err(ProposeError::Refused)?;
    check_evidence(application, proposal, &known).map_err(ProposeError::Refused)?;
    check_index(application, &proposal.block.header).await?;
    Ok(next)
}

/// Judges a block whose evidence was checked before, or is no longer needed because it is decided:
/// its time against this clock, everything else against the tip. Signatures of the transactions
/// named `verified` are not verified again. What comes back is the state after the block.
pub async fn judge<A: Application>(
    application: &A,
    tip: &Tip,
    block: &Block,
    verified: BTreeSet<TransactionHash>,
    now: BlockTime,
) -> Result<Tip, ProposeError<A::Error>> {
    let mut known = known_for(application, block).await?;
    known.verified.extend(verified);
    judge_with(tip, block, &known, now).map_err(ProposeError::Refused)
}

async fn known_for<A: Application>(
    application: &A,
    block: &Block,
) -> Result<Known, ProposeError<A::Error>> {
    let known = application.known(&block.lookups()).await;
    known.map_err(ProposeError::Application)
}

fn judge_with(tip: &Tip, block: &Block, known: &Known, now: BlockTime) -> Result<Tip, Refusal> {
    let ahead = block.header.time.millis_since(now);
    if ahead > MAX_CLOCK_LEAD {
        return Err(Refusal::ClockLead { ahead });
    }
    Ok(tip.check(block, known)?)
}

/// The root of the index is checked before a vote only: once a block is decided, a quorum has done
/// it.
async fn check_index<A: Application>(
    application: &A,
    header: &BlockHeader,
) -> Result<(), ProposeError<A::Error>> {
    let height = header.index_height;
    let own = application.index_root(height).await;
    match own.map_err(ProposeError::Application)? {
        None => Err(ProposeError::Refused(Refusal::IndexBehind(height))),
        Some(root) if root != header.index_root => {
            Err(ProposeError::Refused(Refusal::IndexRoot(height)))
        }
        Some(_) => Ok(()),
    }
}

fn check_evidence<A: Application>(
    application: &A,
    proposal: &Proposal,
    known: &Known,
) -> Result<(), Refusal> {
    let Proposal { block, evidence } = proposal;
    let transactions = &block.transactions;
    let (found, expected) = (evidence.len(), transactions.len());
    if found != expected {
        return Err(Refusal::EvidenceCount { found, expected });
    }
    let (authorities, mut used) = (application.authorities(), BTreeSet::new());
    for (position, (transaction, evidence)) in transactions.iter().zip(evidence).enumerate() {
        let checked = evidence.check(transaction, &*authorities, known, &mut used);
        checked.map_err(|error| Refusal::Evidence { position, error })?;
    }
    Ok(())
}

/// Signs a precommit for a block this validator judged valid.
pub fn cosign(block: &Block, round: u32, key: &impl VoteSigner) -> Result<Signature, SigningError> {
    let (chain, height): (_, Height) = (block.header.chain, block.header.height);
    let vote = Vote {
        chain,
        kind: VoteKind::Precommit,
        height,
        round,
        block: Some(block.hash()),
    };
    key.sign(&vote.signed_bytes())
}
