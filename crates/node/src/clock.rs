//! The system's clock in the types of blocks and submissions.

use birthmark_daemon::clock;
use birthmark_ledger::BlockTime;
use birthmark_protocol::Timestamp;

/// Milliseconds since 1970.
pub fn now_millis() -> BlockTime {
    BlockTime::from_millis(clock::millis())
}

/// Seconds since 1970.
pub fn now() -> Timestamp {
    now_millis().timestamp()
}
