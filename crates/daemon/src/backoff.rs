//! Pauses that grow while something keeps failing.

use std::time::Duration;

/// How often something failed in a row, and how long to wait before it is tried again.
///
/// Half of each pause is chance, so that a thousand cameras that lost the same validator in the
/// same second do not come back in the same second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses that begin with up to `first` and double up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// It failed once more.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// It worked: the next failure begins anew.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How often it failed since it last worked.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait after the last failure: between half and the whole of a doubling time.
    /// `share` says where, from 0 to 1; see [`crate::random::share`].
    pub fn pause(&self, share: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(20);
        let grown = self.first.saturating_mul(1 << doublings).min(self.longest);
        grown / 2 + (grown / 2).mul_f64(share.clamp(0.0, 1.0))
    }

    /// The same, but at least what the other side asked for, within our own longest.
    pub fn pause_at_least(&self, share: f64, asked_for: Option<Duration>) -> Duration {
        let own = self.pause(share);
        asked_for.map_or(own, |asked| own.max(asked.min(self.longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_double_to_their_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff.failed();
            pauses.push(backoff.pause(1.0));
        }
        assert_eq!(pauses[..3], [1, 2, 4].map(Duration::from_secs));
        assert_eq!(pauses[39], LONGEST);
        assert_eq!(backoff.failures(), 40);
        backoff.succeeded();
        backoff.failed();
        assert_eq!(backoff.pause(1.0), FIRST);
        assert_eq!(backoff.pause(0.0), FIRST / 2);
    }

    #[test]
    fn the_other_side_may_ask_for_more_but_not_for_years() {
        let mut backoff = Backoff::new(FIRST, Duration::from_secs(60));
        backoff.failed();
        let after = |seconds| backoff.pause_at_least(0.5, Some(Duration::from_secs(seconds)));
        assert_eq!(after(30), Duration::from_secs(30));
        assert_eq!(after(1_000_000), Duration::from_secs(60));
        assert_eq!(after(0), backoff.pause(0.5));
        assert_eq!(backoff.pause_at_least(0.5, None), backoff.pause(0.5));
    }
}
