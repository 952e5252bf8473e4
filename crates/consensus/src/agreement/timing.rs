//! How long a member waits for the others.

use std::time::Duration;

use crate::engine::{Timer, TimerKind};

/// How long a member waits for the others. All members should have about the same; nothing breaks
/// if they have not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// For the proposal of a round. A member that is down costs this and [`Timing::vote`] each time
    /// it is its turn.
    pub propose: Duration,
    /// For votes that agree.
    pub vote: Duration,
    /// By how much both grow with each round of a height.
    pub step: Duration,
    /// After which the last votes are sent again.
    pub rebroadcast: Duration,
    /// How often each tells how far it is, when nothing else happens.
    pub status: Duration,
    /// How long an answer with blocks may take.
    pub answer: Duration,
}

impl Default for Timing {
    /// For institutions on one continent.
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(1500),
            vote: Duration::from_millis(500),
            step: Duration::from_millis(500),
            rebroadcast: Duration::from_secs(2),
            status: Duration::from_secs(5),
            answer: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// However many rounds failed, a round is not longer than this.
    const LONGEST: Duration = Duration::from_secs(60);

    pub(super) fn of(&self, timer: Timer) -> Duration {
        let first = match timer.kind {
            TimerKind::Propose => self.propose,
            TimerKind::Prevote | TimerKind::Precommit => self.vote,
            TimerKind::Rebroadcast => return self.rebroadcast,
        };
        let more = self.step.saturating_mul(timer.round);
        first.saturating_add(more).min(Self::LONGEST)
    }
}
