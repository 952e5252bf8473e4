//! What the system clock is worth.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::exposure::{ClockQuality, Moment};
use birthmark_protocol::numbers::at_most;

/// No photo was taken by this software before it was written (2026-01-01): a clock that says so was
/// never set.
const EARLIEST_NS: i64 = 1_767_225_600_000_000_000;

/// Judges the clock that says it is `unix_ns`.
pub fn quality(unix_ns: i64) -> ClockQuality {
    judge(unix_ns, kernel_says_synchronised())
}

/// The system's clock, in nanoseconds since 1970.
pub fn now_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        // The clock stands before 1970. `quality` calls 0 unset, which is what it is.
        Err(_) => 0,
    }
}

/// When a frame was exposed that has this age: its driver counts on a clock of its own.
pub fn before_now(age: Duration) -> Moment {
    let unix_ns = now_ns().saturating_sub(nanoseconds(age));
    Moment {
        unix_ns,
        clock: quality(unix_ns),
    }
}

/// The end of the range is in the year 2262; a clock that runs beyond it stays there.
fn nanoseconds(duration: Duration) -> i64 {
    at_most(duration.as_nanos())
}

fn judge(unix_ns: i64, synchronised: bool) -> ClockQuality {
    match (unix_ns >= EARLIEST_NS, synchronised) {
        (false, _) => ClockQuality::Unset,
        (true, true) => ClockQuality::Synchronised,
        (true, false) => ClockQuality::Free,
    }
}

/// The time daemons of systemd and chrony leave these marks once the clock follows a reference.
fn kernel_says_synchronised() -> bool {
    [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/synchronized",
    ]
    .iter()
    .any(|mark| std::path::Path::new(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_1970_is_unset_whatever_the_kernel_says() {
        assert_eq!(judge(0, true), ClockQuality::Unset);
        assert_eq!(judge(EARLIEST_NS, false), ClockQuality::Free);
        assert_eq!(judge(EARLIEST_NS, true), ClockQuality::Synchronised);
    }

    #[test]
    fn a_frame_is_dated_by_its_age_and_an_endless_age_is_no_panic() {
        let earlier = before_now(Duration::from_secs(60)).unix_ns;
        let now = now_ns();
        assert!((59_000_000_000..70_000_000_000).contains(&(now - earlier)));
        assert!(before_now(Duration::MAX).unix_ns < EARLIEST_NS);
        assert_eq!(before_now(Duration::MAX).clock, ClockQuality::Unset);
    }
}
