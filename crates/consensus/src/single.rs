//! A registry of one institution: the same steps as among many, with a quorum of one.

use std::error::Error;

use birthmark_ledger::note::NoteError;
use birthmark_ledger::{
    Block, BlockTime, ChainId, Checkpoint, CheckpointKey, CommitCertificate, KeyName, SetSignature,
    SigningError, Tip, Transaction, Validator, ValidatorId, VoteSigner,
};

use crate::application::{Application, Decided};
use crate::pacing::{Due, Pacing};
use crate::proposal::{Proposal, ProposeError, Refusal, cosign, judge, propose};

/// What a validator signs with.
pub struct ValidatorKeys<V> {
    /// Signs votes and transactions.
    pub vote: V,
    /// Signs checkpoints.
    pub checkpoint: CheckpointKey,
}

/// Makes blocks alone.
pub struct SingleValidator<A, V> {
    application: A,
    keys: ValidatorKeys<V>,
    chain_id: ChainId,
    pacing: Pacing,
    /// Unknown at start and after a failed commit: then the application is asked.
    tip: Option<Tip>,
}

/// What a step did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A block is durable.
    Committed(Box<Decided>),
    /// Nothing is due before this time, unless more arrives.
    Wait(BlockTime),
}

/// How long a step waits after the block that the configuration names, in milliseconds.
const HALTED: i64 = 60_000;

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StepError<E: Error> {
    /// The store; it passes, try again.
    #[error(transparent)]
    Application(E),
    /// The clock is behind the last block; it passes when the clock is right again.
    #[error(
        "this clock is {behind} ms behind the last block: not signing a block with a false time"
    )]
    ClockBehind {
        /// By how many milliseconds.
        behind: i64,
    },
    /// The key did not sign; it may pass.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The set is not this validator alone. It does not pass.
    #[error("the validators of height {0} are not this one alone")]
    NotAlone(birthmark_ledger::Height),
    /// This program's own block breaks its own rules, a defect. It does not pass.
    #[error("this validator's own block is not valid: {0}")]
    OwnBlock(Refusal),
    /// The registry started before 1970. It does not pass.
    #[error("the checkpoint cannot be signed: {0}")]
    Checkpoint(#[from] NoteError),
}

impl<E: Error> StepError<E> {
    /// Whether trying again cannot help: the daemon stops and says why.
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::NotAlone(_) | Self::OwnBlock(_) | Self::Checkpoint(_)
        )
    }
}

impl<A: Application, V: VoteSigner> SingleValidator<A, V> {
    /// A driver that has not asked the application for its state yet.
    pub const fn new(
        application: A,
        keys: ValidatorKeys<V>,
        chain_id: ChainId,
        pacing: Pacing,
    ) -> Self {
        Self {
            application,
            keys,
            chain_id,
            pacing,
            tip: None,
        }
    }

    /// The node behind it.
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// Makes a block if one is due at `now`. Call it when the time it named has come, and when
    /// something new waits.
    pub async fn step(&mut self, now: BlockTime) -> Result<Step, StepError<A::Error>> {
        let tip = match self.tip.take() {
            Some(tip) => tip,
            None => self
                .application
                .tip()
                .await
                .map_err(StepError::Application)?,
        };
        if self.pacing.ends_at(tip.height()) {
            self.tip = Some(tip);
            return Ok(Step::Wait(now.plus_millis(HALTED)));
        }
        let backlog = self
            .application
            .backlog()
            .await
            .map_err(StepError::Application)?;
        if let Due::At(due) = self.pacing.due(now, tip.time(), &backlog) {
            self.tip = Some(tip);
            return Ok(Step::Wait(due));
        }
        let proposal = self.propose(&tip, now).await?;
        if proposal.block.transactions.is_empty() && !self.pacing.is_heartbeat_due(now, tip.time())
        {
            // What waits cannot enter a block now: an empty one would help nobody.
            self.tip = Some(tip);
            return Ok(Step::Wait(now.plus_millis(self.pacing.batch_wait)));
        }
        let decided = self.decide(&tip, proposal, now).await?;
        // If we stop here, nobody has seen the signature, and the next start makes another block at
        // this height. If we stop while it is being stored, the next start finds either the old tip
        // or the new one. Therefore the tip is remembered only after the store said yes.
        self.application
            .commit(&decided)
            .await
            .map_err(StepError::Application)?;
        self.tip = Some(decided.tip.clone());
        Ok(Step::Committed(Box::new(decided)))
    }

    async fn propose(&self, tip: &Tip, now: BlockTime) -> Result<Proposal, StepError<A::Error>> {
        let proposer = self.own_entry(tip)?.id();
        propose(&self.application, tip, proposer, now)
            .await
            .map_err(StepError::Application)
    }

    async fn decide(
        &self,
        tip: &Tip,
        proposal: Proposal,
        now: BlockTime,
    ) -> Result<Decided, StepError<A::Error>> {
        let name = self.own_entry(tip)?.name.clone();
        // Evidence and signatures were checked when the proposal was built, a moment ago and by the
        // same configuration.
        let block = &proposal.block;
        let verified = block.transactions.iter().map(Transaction::hash).collect();
        let next = judge(&self.application, tip, block, verified, now)
            .await
            .map_err(|error| match error {
                ProposeError::Application(error) => StepError::Application(error),
                ProposeError::Refused(Refusal::ClockLead { ahead }) => {
                    StepError::ClockBehind { behind: ahead }
                }
                ProposeError::Refused(refusal) => StepError::OwnBlock(refusal),
            })?;
        let certificate = self.certify(&proposal.block)?;
        let checkpoint_lines = self.sign_checkpoint(&proposal.block, &name)?;
        Ok(Decided {
            block: proposal.block,
            certificate,
            tip: next,
            checkpoint_lines,
        })
    }

    fn own_entry<'a>(&self, tip: &'a Tip) -> Result<&'a Validator, StepError<A::Error>> {
        let own = tip
            .validators()
            .get(&ValidatorId::of(&self.keys.vote.public_key()));
        let alone =
            own.filter(|own| tip.validators().len() == 1 && is_of(own, &self.keys.checkpoint));
        alone.ok_or(StepError::NotAlone(tip.height().next()))
    }

    fn certify(&self, block: &Block) -> Result<CommitCertificate, StepError<A::Error>> {
        let signature = cosign(block, 0, &self.keys.vote)?;
        Ok(CommitCertificate {
            height: block.header.height,
            round: 0,
            block: block.hash(),
            signatures: vec![SetSignature {
                validator: 0,
                signature,
            }],
        })
    }

    fn sign_checkpoint(
        &self,
        block: &Block,
        name: &KeyName,
    ) -> Result<Vec<birthmark_ledger::note::NoteSignature>, NoteError> {
        let checkpoint = Checkpoint::after(self.chain_id.clone(), &block.header);
        checkpoint.sign(name, &self.keys.checkpoint, block.header.time.timestamp())
    }
}

/// Whether a validator's entry names these keys of checkpoints.
pub fn is_of(entry: &Validator, keys: &CheckpointKey) -> bool {
    entry.checkpoint_key == keys.public_key() && entry.log_key == keys.log_public_key()
}
