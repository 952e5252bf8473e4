//! The time of day, read in the shell only.

use std::time::SystemTime;

use birthmark_protocol::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
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
