//! What the system clock is worth.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::exposure::ClockQuality;

/// No photo was taken by this software before it was written (2026-01-01): a clock that says so was never set.
const EARLIEST_NS: i64 = 1_767_225_600_000_000_000;

/// Judges the clock that says it is `unix_ns`.
pub fn quality(unix_ns: i64) -> ClockQuality {
    judge(unix_ns, kernel_says_synchronised())
}

/// The system's clock, in nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
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
}
