//! When the next block is due. Full blocks at once, others when something has waited long enough, empty ones as a
//! heartbeat, so that readers can tell a quiet registry from a dead one.

use birthmark_ledger::BlockTime;

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
}

impl Default for Pacing {
    /// 1,000 records, 1 second, 10 minutes.
    fn default() -> Self {
        Self {
            full: 1000,
            batch_wait: 1000,
            heartbeat: 600_000,
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

    /// Whether even an empty block is due.
    pub const fn is_heartbeat_due(&self, now: BlockTime, last: BlockTime) -> bool {
        now.millis_since(last) >= self.heartbeat
    }
}
