//! One height: beginning it, doing what the engine says, and storing what was decided.

use std::sync::Arc;

use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    BlockTime, Checkpoint, CommitCertificate, Height, SetSignature, Tip, Transaction, ValidatorId,
    VoteSigner,
};
use birthmark_protocol::Signature;

use super::bodies::Verdict;
use super::{AFTER_FAILURE, Agreement, AgreementError, BlockHash, Clock, Links, Running};
use crate::application::{Decided, Shared};
use crate::bare::BareProposal;
use crate::engine::{Action, Entry, Event};
use crate::message::Message;
use crate::proposal::{ProposeError, judge, propose};
use crate::wal::WalError;

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// Begins the height after the tip, or goes on with it after a crash.
    pub(super) async fn begin(&mut self, now: BlockTime) -> Result<(), AgreementError> {
        let height = self.tip.height().next();
        let promised = match self.application.promised().await {
            Ok(promised) => promised,
            Err(error) => {
                log::error!("how far this validator has signed cannot be read: {error}");
                self.again = Some(self.clock.passed() + AFTER_FAILURE);
                return Ok(());
            }
        };
        let (votes, entries) = self.log_of(height, promised)?;
        self.running = Some(Running {
            votes,
            is_promised: promised >= height,
            build: None,
        });
        let bodies = entries.iter().filter_map(|entry| match entry {
            Entry::Body(bytes) => Some(Arc::clone(bytes)),
            _ => None,
        });
        for bytes in bodies {
            self.bodies
                .insert_logged(bytes, &entries, self.clock.passed());
        }
        if !entries.is_empty() {
            log::info!(BLOCK_HEIGHT = height.get(); "height {height} goes on where it was when this program stopped");
        }
        match self
            .machine
            .start(height, self.tip.validators(), votes, entries)
        {
            Ok(actions) => self.execute(actions).await?,
            Err(error) => return self.break_down(error),
        }
        self.take_early_bodies(now).await
    }

    /// Whether we may vote at a height, and what its log holds.
    fn log_of(
        &mut self,
        height: Height,
        promised: Height,
    ) -> Result<(bool, Vec<Entry>), AgreementError> {
        if !self.is_member() {
            return Ok((false, Vec::new()));
        }
        // The promise is older than the log: without the log nobody knows what we said.
        let knows = promised < height || (promised == height && self.wal.holds(height));
        if !knows {
            self.abstain(
                promised,
                "its database or its log is older than what it may have signed",
            );
            return Ok((false, Vec::new()));
        }
        match self.wal.begin(height) {
            Ok(entries) => {
                self.state
                    .send_if_modified(|state| state.abstains_until.take().is_some());
                Ok((true, entries))
            }
            Err(error @ WalError::Damaged { .. }) => {
                self.abstain(height, &error.to_string());
                Ok((false, Vec::new()))
            }
            Err(error @ WalError::Io { .. }) => Err(AgreementError::Unsafe(error.to_string())),
        }
    }

    fn abstain(&self, until: Height, reason: &str) {
        let is_new = self.state.send_if_modified(|state| {
            let before = state.abstains_until.replace(until);
            before != Some(until)
        });
        if is_new {
            log::error!(BLOCK_HEIGHT = until.get(); "this validator does not vote up to height {until}: {reason}. It votes again when the others have passed it");
        }
    }

    /// Does what the engine says, in its order.
    pub(super) async fn execute(&mut self, actions: Vec<Action>) -> Result<(), AgreementError> {
        for action in actions {
            match action {
                Action::Log(entry) => {
                    if let Entry::Proposal(proposal) = &entry {
                        self.bodies.want(proposal.proposed.block);
                    }
                    self.log(&entry)?;
                }
                Action::Publish(message) => self.publish(message).await?,
                Action::Restream(block) => {
                    self.before_sending().await?;
                    self.send_body_to_all(&block);
                }
                Action::Schedule(timer) => {
                    self.timers.retain(|(_, other)| *other != timer);
                    self.timers
                        .push((self.clock.passed() + self.timing.of(timer), timer));
                }
                Action::Cancel(timer) => self.timers.retain(|(_, other)| *other != timer),
                Action::CancelAll => self.timers.clear(),
                Action::Build { round } => {
                    if let Some(running) = &mut self.running {
                        running.build = Some((round, self.clock.passed()));
                        self.backlog_at = self.clock.passed();
                    }
                }
                Action::Round { round, proposer } => self.note_round(round, &proposer),
                Action::Decided {
                    round,
                    block,
                    signatures,
                } => {
                    self.decide(round, block, signatures).await?;
                }
                Action::Misbehaved(misbehaviour) => {
                    let name = self.name_of(misbehaviour.validator());
                    log::error!("{name} {misbehaviour}");
                    self.unreported.push(misbehaviour);
                }
            }
        }
        Ok(())
    }

    fn note_round(&mut self, round: u32, proposer: &ValidatorId) {
        if let Some(running) = &mut self.running {
            running.build = None;
        }
        if round > 0 {
            let (name, height) = (self.name_of(proposer), self.tip.height().next());
            log::info!(BLOCK_HEIGHT = height.get(); "height {height} is in round {round}; it is the turn of {name}");
        }
        self.state
            .send_if_modified(|state| state.round.replace(round) != Some(round));
    }

    /// Writes an entry, where we vote.
    pub(super) fn log(&mut self, entry: &Entry) -> Result<(), AgreementError> {
        if !self.running.as_ref().is_some_and(|running| running.votes) {
            return Ok(());
        }
        let logged = self.wal.append(entry);
        logged.map_err(|error| AgreementError::Unsafe(format!("the consensus log: {error}")))
    }

    /// What must be on the disk before anything of ours leaves.
    async fn before_sending(&mut self) -> Result<(), AgreementError> {
        let height = self.tip.height().next();
        let Some(running) = self.running.as_mut().filter(|running| running.votes) else {
            return Ok(());
        };
        while !running.is_promised {
            match self.application.promise(height).await {
                Ok(()) => running.is_promised = true,
                Err(error) => {
                    log::error!(
                        "not voting: how far this validator has signed cannot be written: {error}"
                    );
                    let again = self.clock.passed() + AFTER_FAILURE;
                    self.clock.wait_until(again).await;
                }
            }
        }
        let flushed = self.wal.flush();
        flushed.map_err(|error| AgreementError::Unsafe(format!("the consensus log: {error}")))
    }

    async fn publish(&mut self, message: Message) -> Result<(), AgreementError> {
        self.before_sending().await?;
        if let Message::Proposal(proposal) = &message
            && proposal.proposed.proposer == self.own
        {
            self.send_body_to_all(&proposal.proposed.block);
        }
        self.links.to_members(self.tip.validators(), &message);
        Ok(())
    }

    fn send_body_to_all(&self, block: &BlockHash) {
        let height = self.tip.height().next();
        if let Some(body) = self.bodies.get(block) {
            let proposal = BareProposal::of(&body.proposal.block).encode().into();
            let body = Message::BareBody { height, proposal };
            self.links.to_members(self.tip.validators(), &body);
        }
    }

    /// Makes the block that the engine wants from us, once there is something to put into it.
    pub(super) async fn build_if_due(&mut self, now: BlockTime) -> Result<(), AgreementError> {
        let build = self.running.as_ref().and_then(|running| running.build);
        let Some((round, since)) = build else {
            return Ok(());
        };
        if !self.machine.wants_proposal(round) {
            self.stop_building();
            return Ok(());
        }
        if self.backlog_at > self.clock.passed() {
            return Ok(());
        }
        let proposal = match propose(&self.application, &self.tip, self.own, now).await {
            Ok(proposal) => proposal,
            Err(error) => {
                log::error!("no block can be proposed at the moment: {error}");
                self.backlog_at = self.clock.passed() + AFTER_FAILURE;
                return Ok(());
            }
        };
        // The others began this height for something that may still be on its way to us. In the end
        // an empty block is better than a round that fails.
        let patience = self.timing.propose / 2;
        let is_empty = proposal.block.transactions.is_empty() && proposal.block.change.is_none();
        if is_empty
            && !self.pacer.is_heartbeat_due(now, self.tip.time())
            && self.since(since) < patience
        {
            self.backlog_at = since + patience;
            return Ok(());
        }
        let block = &proposal.block;
        let verified = block.transactions.iter().map(Transaction::hash).collect();
        // Its own time is not judged: the others say whether it is plausible.
        let tip = match judge(
            &self.application,
            &self.tip,
            block,
            verified,
            block.header.time,
        )
        .await
        {
            Ok(tip) => tip,
            Err(ProposeError::Application(error)) => {
                log::error!("no block can be proposed at the moment: {error}");
                self.backlog_at = self.clock.passed() + AFTER_FAILURE;
                return Ok(());
            }
            Err(ProposeError::Refused(refusal)) => {
                let reason = format!("its own block is not valid: {refusal}");
                return Err(AgreementError::Defect(reason));
            }
        };
        self.stop_building();
        let (hash, bytes): (_, Arc<[u8]>) = (block.hash(), proposal.encode().into());
        // If we stop here, another block is made: this one was not sent. Once it is signed, the log
        // holds both, and the same one is proposed again.
        self.log(&Entry::Body(Arc::clone(&bytes)))?;
        self.bodies.insert_own(hash, proposal, bytes, tip);
        self.event(Event::Propose { round, block: hash }).await
    }

    fn stop_building(&mut self) {
        if let Some(running) = &mut self.running {
            running.build = None;
        }
    }

    async fn decide(
        &mut self,
        round: u32,
        block: BlockHash,
        signatures: Vec<(ValidatorId, Signature)>,
    ) -> Result<(), AgreementError> {
        let defect = |reason: String| AgreementError::Defect(format!("block {block}: {reason}"));
        let body = self.bodies.get(&block);
        let body = body.ok_or_else(|| defect("it was decided and is not here".into()))?;
        let set = self.tip.validators();
        let mut signatures: Vec<_> = signatures
            .into_iter()
            .filter_map(|(validator, signature)| {
                let validator = u16::try_from(set.position(&validator)?).ok()?;
                Some(SetSignature {
                    validator,
                    signature,
                })
            })
            .collect();
        signatures.sort_unstable_by_key(|signed| signed.validator);
        let decided = body.proposal.block.clone();
        let certificate = CommitCertificate {
            height: decided.header.height,
            round,
            block,
            signatures,
        };
        certificate
            .verify(&decided.header, set)
            .map_err(|error| defect(error.to_string()))?;
        let known = match &body.verdict {
            Verdict::Valid(tip) => tip.clone(),
            Verdict::Open(_) | Verdict::Refused => None,
        };
        let tip = match known {
            Some(tip) => *tip,
            None => self.judge_decided(&decided).await?,
        };
        let checkpoint_lines = self.sign_checkpoint(&decided.header)?;
        let signed = certificate.signatures.iter();
        let voters = signed.filter_map(|signed| set.at(usize::from(signed.validator)));
        let voters = voters.map(|voter| voter.name.clone());
        self.attendance.decided(certificate.height, voters);
        let decided = Decided {
            block: decided,
            certificate,
            tip,
            checkpoint_lines,
        };
        let (height, lines) = (
            decided.block.header.height,
            decided.checkpoint_lines.clone(),
        );
        self.store(decided).await?;
        self.links.broadcast(&Message::Status(height));
        if !lines.is_empty() {
            self.links.broadcast(&Message::Lines { height, lines });
        }
        Ok(())
    }

    /// Judges a block that was decided, however often our own store fails.
    pub(super) async fn judge_decided(
        &self,
        block: &birthmark_ledger::Block,
    ) -> Result<Tip, AgreementError> {
        loop {
            // Whoever decided it judged its time.
            let (none, time) = (Default::default(), block.header.time);
            match judge(&self.application, &self.tip, block, none, time).await {
                Ok(tip) => return Ok(tip),
                Err(ProposeError::Application(error)) => {
                    log::error!("a decided block cannot be judged at the moment: {error}");
                    self.pause().await;
                }
                Err(ProposeError::Refused(refusal)) => {
                    let height = block.header.height;
                    let reason =
                        format!("block {height} was decided and breaks its rules: {refusal}");
                    return Err(AgreementError::Defect(reason));
                }
            }
        }
    }

    /// Our lines under the checkpoint after a block, if we are a member that decides it.
    pub(super) fn sign_checkpoint(
        &self,
        header: &birthmark_ledger::BlockHeader,
    ) -> Result<Vec<NoteSignature>, AgreementError> {
        let Some(entry) = self.tip.validators().get(&self.own) else {
            return Ok(Vec::new());
        };
        if !self.is_member() {
            return Ok(Vec::new());
        }
        let checkpoint = Checkpoint::after(self.chain_id.clone(), header);
        let signed = checkpoint.sign(&entry.name, &self.checkpoint_key, header.time.timestamp());
        signed.map_err(|error| AgreementError::Defect(format!("the checkpoint: {error}")))
    }

    /// Stores a decided block, however often our own store fails, and turns to the next height.
    pub(super) async fn store(&mut self, decided: Decided) -> Result<(), AgreementError> {
        let height = decided.block.header.height;
        let mut tip = decided.tip.clone();
        while let Err(error) = self.application.commit(&decided).await {
            log::error!(BLOCK_HEIGHT = height.get(); "block {height} is decided and not stored yet: {error}");
            self.pause().await;
            // Nobody knows whether it was stored.
            match self.application.tip().await {
                Ok(stored) if stored.height() >= height => {
                    tip = stored;
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
        let header = &decided.block.header;
        let (records, signers) = (header.records, decided.certificate.signatures.len());
        log::info!(BLOCK_HEIGHT = height.get(), RECORDS = records; "block {height} holds {records} records, decided by {signers} validators");
        self.tip = tip;
        self.running = None;
        self.timers.clear();
        self.bodies.clear();
        self.backlog_at = self.clock.passed();
        self.pacer.decided(height);
        self.state.send_modify(|state| {
            state.height = height.next();
            state.round = None;
        });
        self.remember_lacking(height);
        if self.is_over() {
            log::warn!(BLOCK_HEIGHT = height.get(); "block {height} is the last one that this version decides, as the configuration says");
        }
        Ok(())
    }
}
