//! Proposed blocks and how they were judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use birthmark_ledger::{BlockTime, Height, KeyName, Tip, VoteSigner};

use super::bare_bodies::Incomplete;
use super::{AFTER_FAILURE, Agreement, AgreementError, BlockHash, ByMember, Clock, Links, Moment};
use crate::application::Shared;
use crate::bare::BareProposal;
use crate::engine::{Entry, Event};
use crate::message::Message;
use crate::proposal::{MAX_CLOCK_LEAD, Proposal, ProposeError, Refusal, validate};

/// How many proposed blocks of one height are kept. Each takes a few megabytes at most.
const MAX_BODIES: usize = 16;
/// How many of them from one member.
const MAX_OF_ONE: usize = 4;
/// When a block is looked at again whose proposer had no turn yet.
const BEFORE_ITS_TURN: Duration = Duration::from_millis(500);

/// A proposed block.
pub(super) struct Body {
    pub proposal: Proposal,
    pub bytes: Arc<[u8]>,
    pub verdict: Verdict,
    from: Option<KeyName>,
}

/// How a block was judged.
pub(super) enum Verdict {
    /// Not yet, for a reason that passes. Look again then.
    Open(Moment),
    /// Valid; with it comes the state after it, if it was judged since we started.
    Valid(Option<Box<Tip>>),
    /// Not valid.
    Refused,
}

/// How a proposed block arrived.
#[derive(Clone)]
pub(super) enum Sent {
    /// With its transactions and their evidence.
    Whole(Arc<[u8]>),
    /// By the names of its transactions.
    Bare(Arc<[u8]>),
}

/// The proposed blocks of the height that runs, and some that came too early.
#[derive(Default)]
pub(super) struct Bodies {
    known: BTreeMap<BlockHash, Body>,
    /// Blocks of which not every transaction is here yet.
    pub(super) incomplete: BTreeMap<BlockHash, Incomplete>,
    /// The last one of each member for a height that has not begun here.
    early: ByMember<(Height, Sent)>,
    /// Blocks that were proposed by their hash and are not here.
    wanted: BTreeSet<BlockHash>,
}

impl Bodies {
    pub fn get(&self, block: &BlockHash) -> Option<&Body> {
        self.known.get(block)
    }

    pub fn insert_own(&mut self, block: BlockHash, proposal: Proposal, bytes: Arc<[u8]>, tip: Tip) {
        let verdict = Verdict::Valid(Some(Box::new(tip)));
        let from = None;
        let body = Body {
            proposal,
            bytes,
            verdict,
            from,
        };
        self.known.insert(block, body);
    }

    /// Takes a block out of the log.
    pub fn insert_logged(&mut self, bytes: Arc<[u8]>, entries: &[Entry], now: Moment) {
        let Ok(proposal) = Proposal::parse(&bytes) else {
            return;
        };
        let block = proposal.block.hash();
        let judged = entries.iter().rev().find_map(|entry| match entry {
            Entry::Judged {
                block: judged,
                is_valid,
                ..
            } if *judged == block => Some(*is_valid),
            _ => None,
        });
        let verdict = match judged {
            Some(true) => Verdict::Valid(None),
            Some(false) => Verdict::Refused,
            None => Verdict::Open(now),
        };
        let from = None;
        let body = Body {
            proposal,
            bytes,
            verdict,
            from,
        };
        self.known.insert(block, body);
    }

    pub fn clear(&mut self) {
        self.known.clear();
        self.incomplete.clear();
        self.wanted.clear();
    }

    /// When something is to be judged again.
    pub fn next_judgement(&self) -> Option<Moment> {
        let open = self.known.values().filter_map(|body| match body.verdict {
            Verdict::Open(at) => Some(at),
            Verdict::Valid(_) | Verdict::Refused => None,
        });
        open.min()
    }

    /// Remembers that a block was proposed.
    pub fn want(&mut self, block: BlockHash) {
        if !self.known.contains_key(&block) && self.wanted.len() < MAX_BODIES {
            self.wanted.insert(block);
        }
    }

    fn take_early(&mut self, height: Height) -> Vec<(KeyName, Sent)> {
        let due: Vec<_> = self
            .early
            .iter()
            .filter(|(_, (early, _))| *early == height)
            .map(|(from, (_, sent))| (from.clone(), sent.clone()))
            .collect();
        self.early.retain(|_, (early, _)| *early > height);
        due
    }

    pub(super) fn has_room_for(&self, from: &KeyName) -> bool {
        let whole = self.known.values().filter_map(|body| body.from.as_ref());
        let incomplete = self.incomplete.values().map(|body| &body.from);
        let of_one = whole.chain(incomplete).filter(|sender| *sender == from);
        self.known.len() + self.incomplete.len() < MAX_BODIES && of_one.count() < MAX_OF_ONE
    }
}

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// Takes a proposed block from a member.
    pub(super) async fn take_body(
        &mut self,
        from: &KeyName,
        height: Height,
        sent: Sent,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        let next = self.tip.height().next();
        if height < next || height > next.next() {
            return Ok(());
        }
        if height > next || self.running.is_none() {
            self.bodies.early.insert(from.clone(), (height, sent));
            return Ok(());
        }
        self.learn(from, sent, now).await
    }

    /// Judges the blocks that came before the height began.
    pub(super) async fn take_early_bodies(&mut self, now: BlockTime) -> Result<(), AgreementError> {
        for (from, sent) in self.bodies.take_early(self.tip.height().next()) {
            self.learn(&from, sent, now).await?;
        }
        Ok(())
    }

    async fn learn(
        &mut self,
        from: &KeyName,
        sent: Sent,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        if !self.bodies.has_room_for(from) {
            log::warn!("{from} sends more blocks for one height than are kept");
            return Ok(());
        }
        match sent {
            Sent::Bare(bytes) => match BareProposal::parse(&bytes) {
                Ok(bare) => self.learn_bare(from, bare, now).await,
                Err(error) => not_a_block(from, &error),
            },
            Sent::Whole(bytes) => match Proposal::parse(&bytes) {
                Ok(proposal) => self.learn_whole(from, proposal, bytes, now).await,
                Err(error) => not_a_block(from, &error),
            },
        }
    }

    pub(super) async fn learn_whole(
        &mut self,
        from: &KeyName,
        proposal: Proposal,
        bytes: Arc<[u8]>,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        let block = proposal.block.hash();
        if proposal.block.header.height != self.tip.height().next()
            || self.bodies.get(&block).is_some()
        {
            return Ok(());
        }
        self.bodies.wanted.remove(&block);
        self.bodies.incomplete.remove(&block);
        let body = Body {
            proposal,
            bytes,
            verdict: Verdict::Open(self.clock.passed()),
            from: Some(from.clone()),
        };
        self.bodies.known.insert(block, body);
        self.judge_body(block, now).await
    }

    /// Judges what could not be judged before.
    pub(super) async fn judge_waiting(&mut self, now: BlockTime) -> Result<(), AgreementError> {
        let passed = self.clock.passed();
        let is_due = |body: &Body| matches!(body.verdict, Verdict::Open(at) if at <= passed);
        let due: Vec<_> = self
            .bodies
            .known
            .iter()
            .filter(|(_, body)| is_due(body))
            .map(|(block, _)| *block)
            .collect();
        for block in due {
            self.judge_body(block, now).await?;
        }
        Ok(())
    }

    async fn judge_body(&mut self, block: BlockHash, now: BlockTime) -> Result<(), AgreementError> {
        let Some(body) = self.bodies.known.get(&block) else {
            return Ok(());
        };
        let header = &body.proposal.block.header;
        let (proposer, bytes) = (header.proposer, Arc::clone(&body.bytes));
        let Some(round) = self.machine.round() else {
            return Ok(());
        };
        let verdict = if !self.machine.had_a_turn(&proposer) {
            // It may still get one in this height.
            Verdict::Open(self.clock.passed() + BEFORE_ITS_TURN)
        } else {
            match validate(&self.application, &self.tip, &body.proposal, now).await {
                Ok(tip) => Verdict::Valid(Some(Box::new(tip))),
                Err(ProposeError::Application(error)) => {
                    log::debug!("a proposed block cannot be judged yet: {error}");
                    Verdict::Open(self.clock.passed() + AFTER_FAILURE)
                }
                // Never a verdict: another clock may stand right, and ours will be where its is.
                Err(ProposeError::Refused(Refusal::ClockLead { ahead })) => {
                    let millis = ahead.saturating_sub(MAX_CLOCK_LEAD).clamp(1, 60_000);
                    let name = self.name_of(&proposer);
                    log::warn!(
                        "a block by {name} is {ahead} ms ahead of this clock: not voting for it yet"
                    );
                    Verdict::Open(
                        self.clock.passed() + Duration::from_millis(millis.unsigned_abs()),
                    )
                }
                // Never a verdict either: this validator's own index will come that far.
                Err(ProposeError::Refused(refusal @ Refusal::IndexBehind(_))) => {
                    log::debug!("a proposed block cannot be judged yet: {refusal}");
                    Verdict::Open(self.clock.passed() + AFTER_FAILURE)
                }
                // Evidence is not covered by the block's hash: whoever passes a block on can spoil
                // it. So it counts against the block only where its proposer sent it.
                Err(ProposeError::Refused(refusal)) if self.is_spoiled(&block, &refusal) => {
                    self.bodies.known.remove(&block);
                    self.bodies.want(block);
                    return Ok(());
                }
                Err(ProposeError::Refused(refusal)) => {
                    let (name, height) = (self.name_of(&proposer), self.tip.height().next());
                    log::error!(BLOCK_HEIGHT = height.get(); "not voting for a block by {name}: {refusal}");
                    Verdict::Refused
                }
            }
        };
        let is_valid = match &verdict {
            Verdict::Open(_) => None,
            Verdict::Valid(_) => Some(true),
            Verdict::Refused => Some(false),
        };
        if let Some(body) = self.bodies.known.get_mut(&block) {
            body.verdict = verdict;
        }
        let Some(is_valid) = is_valid else {
            return Ok(());
        };
        if is_valid {
            self.log(&Entry::Body(bytes))?;
        }
        let judged = Event::Judged {
            round,
            proposer,
            block,
            is_valid,
        };
        self.event(judged).await
    }

    /// Whether a block is refused for evidence that somebody else than its proposer sent along.
    fn is_spoiled(&self, block: &BlockHash, refusal: &Refusal) -> bool {
        let is_evidence = matches!(
            refusal,
            Refusal::Evidence { .. } | Refusal::EvidenceCount { .. }
        );
        let body = self.bodies.get(block).filter(|_| is_evidence);
        let Some((body, from)) = body.and_then(|body| body.from.as_ref().map(|from| (body, from)))
        else {
            return false;
        };
        let proposer = self.name_of(&body.proposal.block.header.proposer);
        if proposer == from.as_str() {
            return false;
        }
        log::warn!(
            "{from} passed on a block by {proposer} with evidence that does not carry it: {refusal}"
        );
        true
    }

    /// Sends a proposed block to whoever lacks it.
    pub(super) fn send_body(&self, to: &KeyName, height: Height, block: &BlockHash) {
        if height != self.tip.height().next() {
            return;
        }
        if let Some(body) = self.bodies.get(block) {
            let proposal = Arc::clone(&body.bytes);
            self.links.send(to, &Message::Body { height, proposal });
        }
    }

    /// Asks all for the blocks that were proposed and did not arrive.
    pub(super) fn ask_for_bodies(&self) {
        let height = self.tip.height().next();
        for block in self.bodies.wanted.iter().copied() {
            let wanted = Message::WantBody { height, block };
            self.links.to_members(self.tip.validators(), &wanted);
        }
    }
}

fn not_a_block(from: &KeyName, error: &dyn std::error::Error) -> Result<(), AgreementError> {
    log::warn!("{from} sent something as a block that is none: {error}");
    Ok(())
}
