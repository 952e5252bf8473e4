//! The one place that reads the system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use birthmark_ledger::BlockTime;
use birthmark_protocol::Timestamp;

/// Milliseconds since 1970.
pub fn now_millis() -> BlockTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    BlockTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Seconds since 1970.
pub fn now() -> Timestamp {
    now_millis().timestamp()
}
