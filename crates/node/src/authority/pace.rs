//! When to ask again an authority that did not answer.

use std::time::Duration;

use birthmark_daemon::Backoff;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(90);
/// After this many failures in a row the authority counts as away, and only single questions test
/// whether it is back.
const AWAY_AFTER: u32 = 3;

/// How an authority has been answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing(Backoff);

impl Default for Standing {
    fn default() -> Self {
        Self(Backoff::new(FIRST, LONGEST))
    }
}

impl Standing {
    /// It answered.
    pub const fn answered(&mut self) {
        self.0.succeeded();
    }

    /// It did not.
    pub const fn failed(&mut self) {
        self.0.failed();
    }

    /// Whether it counts as away.
    pub const fn is_away(self) -> bool {
        self.0.failures() >= AWAY_AFTER
    }

    /// How long to wait before the next attempt; `share` is a random number from 0 to 1.
    pub fn pause(self, share: f64) -> Duration {
        self.0.pause(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_away_after_three_failures_until_it_answers() {
        let mut standing = Standing::default();
        let mut pauses = Vec::new();
        for failures in 1..20 {
            standing.failed();
            assert_eq!(standing.is_away(), failures >= AWAY_AFTER);
            pauses.push(standing.pause(1.0));
        }
        assert_eq!(pauses[0], FIRST);
        assert_eq!(pauses.last(), Some(&LONGEST));
        standing.answered();
        assert!(!standing.is_away());
    }
}
