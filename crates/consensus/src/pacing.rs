//! When the next block is due. Full blocks at once, others when something has waited long enough,
//! empty ones as a heartbeat, so that readers can tell a quiet registry from a dead one.
//!
//! A member of a network also begins a height because others did ([`Pacer`]). Between two blocks a
//! network is silent: nobody votes, no round runs. So whoever begins must draw in all others, and
//! whoever was away must be able to come in. The rules were found by breaking a prototype:
//!
//! 1. enough waits, or something has waited long enough;
//! 2. a member said something at this height or a later one;
//! 3. a member's last block is at this height or a later one: it may be lost to us until we take
//!    part;
//! 4. the heartbeat.
//!
//! That a block was fetched from others is no reason to begin the next height: here blocks are
//! fetched beside the engine and need no height that runs. A member that comes back therefore does
//! not make the others produce an empty block.

use birthmark_ledger::{BlockTime, Height};

use crate::application::Backlog;

/// How eagerly blocks are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pacing {
    /// This many waiting records make a block at once.
    pub full: usize,
    /// The longest a record waits for others, in milliseconds.
    pub batch_wait: i64,
    /// The longest time without a block, in milliseconds.
    pub heartbeat: i64,
    /// After this block none is begun or fetched: the next version decides the rest.
    pub halt_after: Option<Height>,
}

impl Default for Pacing {
    /// 1,000 records, 0.7 seconds, 10 minutes.
    fn default() -> Self {
        Self {
            full: 1000,
            batch_wait: 700,
            heartbeat: 600_000,
            halt_after: None,
        }
    }
}

/// When the next block is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// At once.
    Now,
    /// At this time, unless more arrives before.
    At(BlockTime),
}

impl Pacing {
    /// When the next block is due after one at `last`, as things stand at `now`.
    pub fn due(&self, now: BlockTime, last: BlockTime, backlog: &Backlog) -> Due {
        if backlog.records >= self.full {
            return Due::Now;
        }
        let heartbeat = last.plus_millis(self.heartbeat);
        // A clock that was set back must not make anyone wait longer than from now on.
        let oldest = backlog
            .oldest
            .map(|since| since.min(now).plus_millis(self.batch_wait));
        let due = oldest.map_or(heartbeat, |oldest| oldest.min(heartbeat));
        if due <= now { Due::Now } else { Due::At(due) }
    }

    /// Whether this version decides nothing after a block at this height.
    pub fn ends_at(&self, last: Height) -> bool {
        self.halt_after.is_some_and(|halt| last >= halt)
    }

    /// Whether even an empty block is due.
    pub const fn is_heartbeat_due(&self, now: BlockTime, last: BlockTime) -> bool {
        now.millis_since(last) >= self.heartbeat
    }
}

/// Decides when a member of a network begins a height. It knows no clock and no network: both are
/// told to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pacer {
    pacing: Pacing,
    /// The height that is begun next.
    next: Height,
    /// The highest height at which a member was heard.
    heard: Height,
    /// The highest last block of a member.
    decided: Height,
}

impl Pacer {
    /// Before `next`.
    pub const fn new(pacing: Pacing, next: Height) -> Self {
        Self {
            pacing,
            next,
            heard: Height::GENESIS,
            decided: Height::GENESIS,
        }
    }

    /// The height that is begun next.
    pub const fn next(&self) -> Height {
        self.next
    }

    /// Whether this version decides nothing after a block at this height.
    pub fn ends_at(&self, last: Height) -> bool {
        self.pacing.ends_at(last)
    }

    /// A block was decided or fetched.
    pub fn decided(&mut self, height: Height) {
        self.next = self.next.max(height.next());
    }

    /// A member's vote or proposal, whose signature holds, is about this height.
    pub fn heard(&mut self, height: Height) {
        self.heard = self.heard.max(height);
    }

    /// A member says that this is its last block. It is not proven: at worst we begin a height for
    /// nothing.
    pub fn told(&mut self, decided: Height) {
        self.decided = self.decided.max(decided);
    }

    /// Whether a member makes us begin the next height, whatever waits.
    pub fn is_called(&self) -> bool {
        self.heard >= self.next || self.decided >= self.next
    }

    /// When to begin the next height, after a block at `last`, as things stand at `now`.
    pub fn due(&self, now: BlockTime, last: BlockTime, backlog: &Backlog) -> Due {
        if self.is_called() {
            return Due::Now;
        }
        self.pacing.due(now, last, backlog)
    }

    /// Whether even an empty block is due.
    pub const fn is_heartbeat_due(&self, now: BlockTime, last: BlockTime) -> bool {
        self.pacing.is_heartbeat_due(now, last)
    }
}
