//! The time of day in the protocol's type, read in the shell only.

use birthmark_daemon::clock;
use birthmark_protocol::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    Timestamp::from_unix(clock::seconds())
}

/// A moment for people: RFC 3339 in UTC.
pub fn readable(moment: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(moment.unix())
        .ok()
        .and_then(|moment| {
            moment
                .format(&time::format_description::well_known::Rfc3339)
                .ok()
        })
        .unwrap_or_else(|| moment.to_string())
}
