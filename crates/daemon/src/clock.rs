//! The one place that reads the system's clock. Logic takes the time as an argument; only shells
//! call this.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970, negative before. They fit until the year 2262.
pub fn nanos() -> i64 {
    nanos_of(SystemTime::now())
}

/// Milliseconds since 1970, negative before.
pub fn millis() -> i64 {
    nanos().div_euclid(1_000_000)
}

/// Whole seconds since 1970, negative before.
pub fn seconds() -> i64 {
    nanos().div_euclid(NANOS_PER_SECOND)
}

fn nanos_of(moment: SystemTime) -> i64 {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => clamped(after),
        // A clock that was never set may stand before 1970; it is reported as it stands.
        Err(before) => -clamped(before.duration()),
    }
}

fn clamped(distance: Duration) -> i64 {
    // Nearer than 292 years to 1970 on either side; a clock beyond that stands at the end of the
    // scale.
    distance.as_nanos().min(i64::MAX.unsigned_abs().into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_is_told_as_it_stands() {
        assert_eq!(nanos_of(UNIX_EPOCH), 0);
        assert_eq!(nanos_of(UNIX_EPOCH + Duration::from_nanos(5)), 5);
        assert_eq!(nanos_of(UNIX_EPOCH - Duration::from_nanos(5)), -5);
    }

    #[test]
    fn the_scales_agree() {
        let before = nanos();
        let (millis, seconds) = (millis(), seconds());
        assert!(millis >= before / 1_000_000);
        assert!(seconds >= before / NANOS_PER_SECOND);
        assert!(millis / 1_000 - seconds <= 1);
        assert!(seconds > 1_790_000_000, "the machine's clock is set");
    }
}
