//! When to ask again an authority that did not answer.

use std::time::Duration;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// After this many failures in a row the authority counts as away, and only single questions test whether it is back.
const AWAY_AFTER: u32 = 3;

/// How an authority has been answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    failures: u32,
}

impl Standing {
    /// It answered.
    pub const fn answered(&mut self) {
        self.failures = 0;
    }

    /// It did not.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether it counts as away.
    pub const fn is_away(self) -> bool {
        self.failures >= AWAY_AFTER
    }

    /// How long to wait before the next attempt: doubling, with up to half of it added at random so that nodes that lost
    /// the same authority at the same moment do not return at the same moment. `random` is any number.
    pub fn pause(self, random: u64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(10);
        let base = Duration::from_millis(250)
            .saturating_mul(1 << doublings)
            .min(LONGEST);
        let jitter = base.as_millis() as u64 / 2;
        base + Duration::from_millis(if jitter == 0 { 0 } else { random % jitter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_end_with_an_answer() {
        let mut standing = Standing::default();
        let mut pauses = Vec::new();
        for _ in 0..20 {
            standing.failed();
            pauses.push(standing.pause(0));
        }
        assert_eq!(pauses[0], Duration::from_millis(250));
        assert_eq!(pauses[3], Duration::from_secs(2));
        assert_eq!(pauses[19], LONGEST);
        assert!(standing.is_away());
        assert!(standing.pause(u64::MAX) < LONGEST * 3 / 2);
        standing.answered();
        assert!(!standing.is_away());
    }
}
