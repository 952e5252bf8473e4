//! Who is how far, and fetching what was missed.
//!
//! A fetched block is judged as every other, except for its evidence and its time, which those
//! judged who decided it, and for which its certificate stands. It is stored beside the engine,
//! which then forgets the height it was at.

use std::time::Duration;

use birthmark_ledger::{Block, BlockTime, CommitCertificate, Height, KeyName, VoteSigner};

use super::state::MemberState;
use super::{Agreement, AgreementError, ByMember, Clock, Links, Moment};
use crate::application::{Decided, Shared};
use crate::message::{Message, SentBlock};

/// How many bytes of blocks one answer has.
const ANSWER_BYTES: usize = 4 << 20;
/// A member that is one block behind is probably about to decide it.
const JUST_BEHIND: Duration = Duration::from_millis(300);
/// How long a member is not asked for blocks after it sent something wrong.
const DISTRUST: Duration = Duration::from_secs(60);
/// How many bytes of blocks a member gets in a second: reading them for one must not keep the
/// others waiting.
const BYTES_A_SECOND: u32 = 32 << 20;
/// A member is told no more often than this how far we are.
const BETWEEN_TELLING: Duration = Duration::from_millis(500);

pub(super) struct CatchUp {
    members: ByMember<Other>,
    /// Whom we asked for blocks, and when.
    asked: Option<(KeyName, Moment)>,
    /// Since when we know that somebody is ahead.
    behind_since: Option<Moment>,
    pub next_status: Moment,
}

struct Other {
    decided: Height,
    heard: BlockTime,
    distrusted_until: Option<Moment>,
    /// It wants blocks from this height on, no sooner than then.
    wants: Option<Height>,
    answer_at: Moment,
    told: Option<Moment>,
}

impl CatchUp {
    pub fn new(now: Moment) -> Self {
        Self {
            members: ByMember::new(),
            asked: None,
            behind_since: None,
            next_status: now,
        }
    }

    pub fn heard(&mut self, from: &KeyName, now: BlockTime) {
        let other = self.members.entry(from.clone()).or_insert(Other {
            decided: Height::GENESIS,
            heard: now,
            distrusted_until: None,
            wants: None,
            answer_at: Moment::ZERO,
            told: None,
        });
        other.heard = now;
    }

    /// When blocks are to be sent.
    pub fn next_answer(&self) -> Option<Moment> {
        let wanting = self.members.values().filter(|other| other.wants.is_some());
        wanting.map(|other| other.answer_at).min()
    }

    /// The members in the order of their names, beginning after the one asked last.
    pub fn turn(&self, after: Option<&KeyName>) -> Vec<KeyName> {
        let names: Vec<_> = self.members.keys().cloned().collect();
        let start = after
            .and_then(|after| names.iter().position(|name| name == after))
            .map_or(0, |position| position + 1);
        let (before, rest) = names.split_at(start.min(names.len()));
        [rest, before].concat()
    }
}

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// A member says how far it is.
    pub(super) fn told(&mut self, from: &KeyName, height: Height) {
        let passed = self.clock.passed();
        let Some(other) = self.catch_up.members.get_mut(from) else {
            return;
        };
        other.decided = height;
        if height < self.tip.height() {
            self.tell(from);
            return;
        }
        let is_trusted = other.distrusted_until.is_none_or(|until| until <= passed);
        if height > self.tip.height() && is_trusted {
            if self.is_name_of_member(from) {
                self.pacer.told(height);
            }
            self.catch_up.behind_since.get_or_insert(passed);
            self.ask_for_blocks();
        }
    }

    /// Tells a member that is behind how far we are, so that it need not wait for our next turn to
    /// say so.
    pub(super) fn tell(&mut self, to: &KeyName) {
        let passed = self.clock.passed();
        let Some(other) = self.catch_up.members.get_mut(to) else {
            return;
        };
        let is_too_soon = other
            .told
            .is_some_and(|at| passed.saturating_sub(at) < BETWEEN_TELLING);
        if !is_too_soon {
            other.told = Some(passed);
            self.links.send(to, &Message::Status(self.tip.height()));
        }
    }

    /// Asks one member for the blocks after our last, if one has them.
    fn ask_for_blocks(&mut self) {
        if self.is_over() {
            return;
        }
        let (now, height) = (self.clock.passed(), self.tip.height());
        let is_waiting = self.catch_up.asked.as_ref();
        if is_waiting.is_some_and(|(_, at)| self.since(*at) < self.timing.answer) {
            return;
        }
        let last = self.catch_up.asked.as_ref().map(|(name, _)| name.clone());
        let order = self.catch_up.turn(last.as_ref());
        let ahead = order.into_iter().find_map(|name| {
            let other = self.catch_up.members.get(&name)?;
            let is_trusted = other.distrusted_until.is_none_or(|until| until <= now);
            (other.decided > height && is_trusted).then_some((name, other.decided))
        });
        let Some((name, decided)) = ahead else {
            self.catch_up.behind_since = None;
            return;
        };
        let is_just_behind = decided == height.next()
            && self
                .catch_up
                .behind_since
                .is_none_or(|since| now.saturating_sub(since) < JUST_BEHIND);
        if is_just_behind && self.running.is_some() {
            self.catch_up.next_status = self.catch_up.next_status.min(now + JUST_BEHIND);
            return;
        }
        self.links.send(&name, &Message::WantBlocks(height.next()));
        self.catch_up.asked = Some((name, now));
        self.catch_up.next_status = self.catch_up.next_status.min(now + self.timing.answer);
    }

    /// A member wants decided blocks.
    pub(super) fn want_blocks(&mut self, name: &KeyName, from: Height) {
        let has_it = from != Height::GENESIS && from <= self.tip.height();
        if let Some(other) = self.catch_up.members.get_mut(name)
            && has_it
        {
            other.wants = Some(from);
        }
    }

    /// Sends blocks to those who want them and whose turn it is.
    pub(super) async fn send_blocks(&mut self) {
        let passed = self.clock.passed();
        let due = self
            .catch_up
            .members
            .iter_mut()
            .filter_map(|(name, other)| {
                let is_due = other.answer_at <= passed;
                let from = if is_due { other.wants.take() } else { None };
                from.map(|from| (name.clone(), from))
            });
        let due: Vec<_> = due.collect();
        for (name, from) in due {
            let blocks = match self.application.blocks(from, ANSWER_BYTES).await {
                Ok(blocks) => blocks,
                Err(error) => {
                    log::debug!("blocks for {name} cannot be read: {error}");
                    continue;
                }
            };
            if blocks.is_empty() {
                continue;
            }
            let bytes: usize = blocks.iter().map(|sent| sent.block.len()).sum();
            let takes = Duration::from_secs(bytes as u64) / BYTES_A_SECOND;
            if let Some(other) = self.catch_up.members.get_mut(&name) {
                other.answer_at = passed + takes;
            }
            self.links.send(&name, &Message::Blocks(blocks));
        }
    }

    /// Takes decided blocks from a member, as far as they follow ours.
    pub(super) async fn take_blocks(
        &mut self,
        from: &KeyName,
        blocks: Vec<SentBlock>,
    ) -> Result<(), AgreementError> {
        let before = self.tip.height();
        for sent in blocks {
            if self.is_over() {
                break;
            }
            match self.read_block(&sent) {
                Ok(Some((block, certificate))) => {
                    self.take_block(block, certificate, sent).await?;
                }
                Ok(None) => {}
                Err(reason) => {
                    log::warn!("{from} sent a block that was not decided: {reason}");
                    if let Some(other) = self.catch_up.members.get_mut(from) {
                        other.distrusted_until = Some(self.clock.passed() + DISTRUST);
                    }
                    break;
                }
            }
        }
        self.catch_up.asked = None;
        if self.tip.height() > before {
            self.catch_up.behind_since = Some(self.clock.passed());
            self.links.broadcast(&Message::Status(self.tip.height()));
        }
        self.ask_for_blocks();
        Ok(())
    }

    /// `None` for a block that we have, or that does not follow ours.
    fn read_block(&self, sent: &SentBlock) -> Result<Option<(Block, CommitCertificate)>, String> {
        let block = Block::parse(&sent.block).map_err(|error| error.to_string())?;
        if block.header.height != self.tip.height().next() {
            return Ok(None);
        }
        let certificate =
            CommitCertificate::parse(&sent.certificate).map_err(|error| error.to_string())?;
        if block.header.chain != *self.tip.chain() {
            return Err("it is of another registry".into());
        }
        let checked = certificate.verify(&block.header, self.tip.validators());
        checked.map_err(|error| error.to_string())?;
        Ok(Some((block, certificate)))
    }

    async fn take_block(
        &mut self,
        block: Block,
        certificate: CommitCertificate,
        sent: SentBlock,
    ) -> Result<(), AgreementError> {
        let tip = self.judge_decided(&block).await?;
        let mut checkpoint_lines = self.sign_checkpoint(&block.header)?;
        let others = self.verified(&block.header, self.tip.validators(), sent.lines);
        super::cosigning::merge(&mut checkpoint_lines, others);
        let decided = Decided {
            block,
            certificate,
            tip,
            checkpoint_lines,
        };
        self.store(decided).await?;
        // The engine was at this height or before it.
        self.forget_height();
        Ok(())
    }

    /// What is done now and then: telling how far we are, and asking those who are further.
    pub(super) async fn look_after_others(&mut self) {
        let passed = self.clock.passed();
        if self.catch_up.next_status > passed {
            return;
        }
        self.catch_up.next_status = passed + self.timing.status;
        self.links.broadcast(&Message::Status(self.tip.height()));
        self.ask_for_blocks();
        self.ask_for_lines().await;
        let members = self.catch_up.members.iter().map(|(name, other)| {
            let state = MemberState {
                decided: other.decided,
                heard: other.heard,
                votes: self.attendance.votes_of(name),
            };
            (name.clone(), state)
        });
        let members = members.collect();
        self.state.send_if_modified(|state| {
            let is_new = state.members != members;
            state.members = members;
            is_new
        });
    }
}
