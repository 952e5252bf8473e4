//! How long to leave a node in peace.

use std::time::Duration;

use crate::chance;

const FIRST: Duration = Duration::from_secs(1);

/// A pause that grows with every failure in a row. Half of it is chance, so that a thousand cameras that lost the same
/// node do not come back in the same second.
#[derive(Debug)]
pub(super) struct Pause {
    failures: u32,
    longest: Duration,
}

impl Pause {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            failures: 0,
            longest,
        }
    }

    /// The length of the next pause; at least what the node asked for, within our own limit.
    pub(super) fn next(&mut self, asked_for: Option<Duration>) -> Duration {
        let grown = FIRST
            .saturating_mul(1 << self.failures.min(20))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = grown / 2;
        let jittered = half + half.mul_f64(chance::share());
        jittered
            .max(asked_for.unwrap_or_default())
            .min(self.longest)
    }

    /// Something worked.
    pub(super) fn end(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_limit_and_starts_again_after_a_success() {
        let mut pause = Pause::new(Duration::from_secs(3600));
        let lengths: Vec<Duration> = (0..40).map(|_| pause.next(None)).collect();
        assert!(lengths[0] <= FIRST);
        assert!(lengths[12] >= Duration::from_secs(1800));
        assert!(
            lengths
                .iter()
                .all(|length| *length <= Duration::from_secs(3600))
        );
        pause.end();
        assert!(pause.next(None) <= FIRST);
    }

    #[test]
    fn the_node_may_ask_for_more_but_not_for_years() {
        let mut pause = Pause::new(Duration::from_secs(60));
        assert_eq!(
            pause.next(Some(Duration::from_secs(30))),
            Duration::from_secs(30)
        );
        assert_eq!(
            pause.next(Some(Duration::from_secs(1_000_000))),
            Duration::from_secs(60)
        );
    }
}
