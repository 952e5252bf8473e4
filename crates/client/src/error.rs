//! Why there is no answer, sorted by what the caller can do about it.

use std::path::PathBuf;
use std::time::Duration;

/// What of a foreign text is worth showing.
const LONGEST_REASON: usize = 300;

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none.
    #[error("`{address}` is no address: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The additional certificate authority cannot be used.
    #[error("the certificate {path} cannot be used: {reason}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No client could be made: most likely this machine trusts no certificate authority at all.
    #[error("no HTTP client could be made (is the package ca-certificates installed?): {0}")]
    Client(String),
}

/// Why the other side did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The line is bad, or it is down, or it is another machine than it claims.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It is there and cannot help now. The same request may succeed later.
    #[error("is busy: {reason}")]
    Busy {
        /// The status of its answer.
        status: u16,
        /// What it says.
        reason: String,
        /// When to come back, if it says so.
        retry_after: Option<Duration>,
    },
    /// It read the request and says in its own words why it does not do it.
    #[error("refuses: {reason}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its sentence.
        reason: String,
    },
    /// It answers with a status nobody asked for and no word of this house's: a proxy, a redirect,
    /// another server.
    #[error("answers {status}: {reason}")]
    Unexpected {
        /// The status of its answer.
        status: u16,
        /// What is known about it.
        reason: String,
    },
    /// It answers, but not as it should.
    #[error("answers nonsense: {0}")]
    Nonsense(String),
}

impl CallError {
    /// Its answer makes no sense, and why.
    pub fn nonsense(reason: impl std::fmt::Display) -> Self {
        Self::Nonsense(shortened(&reason.to_string()))
    }

    /// When it wants to be asked again.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A foreign text, cut and without control characters, as it may stand in a log or on a terminal.
pub(crate) fn shortened(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(LONGEST_REASON)
        .collect()
}
