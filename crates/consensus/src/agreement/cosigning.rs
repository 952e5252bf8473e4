//! Lines under checkpoints: ours are sent after each block, the others' are taken when they come,
//! and asked for when they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    BlockHeader, Checkpoint, Height, KeyName, SignedCheckpoint, ValidatorSet, VoteSigner,
};

use super::{Agreement, Clock, Links, Moment};
use crate::application::{Cosigned, Shared};
use crate::message::Message;

/// For how many of the newest blocks lines are asked for.
const REMEMBERED: usize = 64;
/// How many are asked for at once.
const ASKED_AT_ONCE: usize = 8;
/// After this long a checkpoint with a quorum is good enough.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

/// Checkpoints that lack somebody's lines.
#[derive(Default)]
pub(super) struct Cosigning {
    lacking: BTreeMap<Height, Moment>,
    asked: Option<KeyName>,
}

impl Cosigning {
    fn remember(&mut self, height: Height, now: Moment) {
        self.lacking.insert(height, now);
        while self.lacking.len() > REMEMBERED {
            self.lacking.pop_first();
        }
    }
}

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// Looks which of the newest blocks lack lines, after a start.
    pub(super) async fn remember_uncosigned(&mut self) -> Result<(), A::Error> {
        let last = self.tip.height().get();
        for height in last.saturating_sub(REMEMBERED as u64 - 1).max(1)..=last {
            let height = Height::new(height);
            if let Some(cosigned) = self.application.cosigned(height).await?
                && self.count(&cosigned) < cosigned.validators.len()
            {
                self.cosigning.remember(height, self.clock.passed());
            }
        }
        Ok(())
    }

    /// A block was stored; the others' lines are yet to come.
    pub(super) fn remember_lacking(&mut self, height: Height) {
        self.cosigning.remember(height, self.clock.passed());
    }

    pub(super) async fn take_lines(
        &mut self,
        from: &KeyName,
        height: Height,
        lines: Vec<NoteSignature>,
    ) {
        if height > self.tip.height() || !self.cosigning.lacking.contains_key(&height) {
            return;
        }
        let cosigned = match self.application.cosigned(height).await {
            Ok(Some(cosigned)) => cosigned,
            Ok(None) => return,
            Err(error) => {
                log::debug!("lines of {from} are not taken: {error}");
                return;
            }
        };
        let lines = self.verified(&cosigned.header, &cosigned.validators, lines);
        let mut all = cosigned.lines.clone();
        if !merge(&mut all, lines) {
            return;
        }
        if let Err(error) = self.application.add_lines(height, all.clone()).await {
            log::debug!("lines of {from} are not stored: {error}");
            return;
        }
        let cosigned = Cosigned {
            lines: all,
            ..cosigned
        };
        if self.count(&cosigned) == cosigned.validators.len() {
            self.cosigning.lacking.remove(&height);
        }
    }

    pub(super) async fn send_lines(&self, to: &KeyName, height: Height) {
        if let Ok(Some(Cosigned { lines, .. })) = self.application.cosigned(height).await
            && !lines.is_empty()
        {
            self.links.send(to, &Message::Lines { height, lines });
        }
    }

    /// Asks one member, each time another, for lines that are missing.
    pub(super) async fn ask_for_lines(&mut self) {
        let order = self.catch_up.turn(self.cosigning.asked.as_ref());
        let Some(name) = order.into_iter().next() else {
            return;
        };
        let lacking: Vec<_> = self
            .cosigning
            .lacking
            .iter()
            .map(|(height, since)| (*height, *since))
            .take(ASKED_AT_ONCE)
            .collect();
        for (height, since) in lacking {
            if self.since(since) > LONG_ENOUGH
                && let Ok(Some(cosigned)) = self.application.cosigned(height).await
                && self.count(&cosigned) >= cosigned.validators.quorum()
            {
                self.cosigning.lacking.remove(&height);
                continue;
            }
            self.links.send(&name, &Message::WantLines(height));
        }
        self.cosigning.asked = Some(name);
    }

    /// How many validators cosigned.
    fn count(&self, cosigned: &Cosigned) -> usize {
        let checkpoint = Checkpoint::after(self.chain_id.clone(), &cosigned.header);
        let signed = SignedCheckpoint {
            checkpoint,
            signatures: cosigned.lines.clone(),
        };
        signed
            .cosigners(&cosigned.validators)
            .map_or(0, |cosigners| cosigners.len())
    }

    /// Those of the lines that a member of the set wrote under this block's checkpoint.
    pub(super) fn verified(
        &self,
        header: &BlockHeader,
        set: &ValidatorSet,
        lines: Vec<NoteSignature>,
    ) -> Vec<NoteSignature> {
        let checkpoint = Checkpoint::after(self.chain_id.clone(), header);
        let origin = self.chain_id.as_str();
        let is_a_members = |line: &NoteSignature| {
            set.validators().iter().any(|validator| {
                let cosigns = (validator.name.as_str(), validator.checkpoint_key_id());
                let logs = (origin, validator.log_key_id(&self.chain_id));
                [cosigns, logs].contains(&(line.name.as_str(), line.key_id))
            })
        };
        let holds = |line: &NoteSignature| {
            let signed = SignedCheckpoint {
                checkpoint: checkpoint.clone(),
                signatures: vec![line.clone()],
            };
            signed.cosigners(set).is_ok()
        };
        let mut lines = lines;
        lines.retain(|line| is_a_members(line) && holds(line));
        lines
    }
}

/// Adds lines that are not there; whether there were any. One line a key: a second one that differs
/// only in its time adds nothing.
pub(super) fn merge(lines: &mut Vec<NoteSignature>, more: Vec<NoteSignature>) -> bool {
    let before = lines.len();
    for line in more {
        let is_there = lines
            .iter()
            .any(|known| (&known.name, known.key_id) == (&line.name, line.key_id));
        if !is_there {
            lines.push(line);
        }
    }
    lines.len() > before
}
