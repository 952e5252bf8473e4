//! Log lines that strangers can cause, written at most once a minute, so that nobody fills the
//! journal with them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts something until it is time to say it.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<(u64, Option<Instant>)>);

impl LogThrottle {
    const EVERY: Duration = Duration::from_secs(60);

    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self(Mutex::new((0, None)))
    }

    /// One more; how many there were, if it is time to say so.
    pub fn count(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, said) = &mut *counted;
        *count += 1;
        if said.is_some_and(|said| now.saturating_duration_since(said) < Self::EVERY) {
            return None;
        }
        *said = Some(now);
        Some(std::mem::take(count))
    }

    /// Logs a warning, if it is time to.
    pub fn warn(&self, message: &str) {
        if let Some(count) = self.count(Instant::now()) {
            log::warn!("{message} ({count} since this was last said)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_once_a_minute() {
        let (throttle, start) = (LogThrottle::new(), Instant::now());
        assert_eq!(throttle.count(start), Some(1));
        assert_eq!(throttle.count(start), None);
        assert_eq!(throttle.count(start + Duration::from_secs(59)), None);
        assert_eq!(throttle.count(start + Duration::from_secs(60)), Some(3));
    }
}
