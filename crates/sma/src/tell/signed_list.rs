//! The signed list of revocations that was last made, however many ask for it.

use std::sync::Arc;

use birthmark_protocol::Timestamp;
use birthmark_protocol::revocations::{Revocation, RevocationList, SignedList};

use crate::judge::rules::Rules;

/// After so many seconds the list is signed anew, so that its readers see that nobody keeps a newer
/// one from them.
const SIGNED_EVERY: i64 = 3600;

/// The signed list with its entity tag.
#[derive(Debug)]
pub struct PublishedList {
    /// What is sent.
    pub list: SignedList,
    /// The entity tag.
    pub etag: String,
    pub(super) content: RevocationList,
}

impl PublishedList {
    /// Whether it may stay: nothing was revoked or lifted since, and it was signed a short while
    /// ago.
    pub(super) fn still_says(&self, revocations: &[Revocation], now: Timestamp) -> bool {
        self.content.revocations == revocations
            && (0..SIGNED_EVERY).contains(&now.since(self.content.issued_at))
    }
}

/// The last signed list; whoever makes the next one holds the lock.
#[derive(Debug, Default)]
pub struct SignedListCache(pub(super) tokio::sync::Mutex<Option<Published>>);

/// A published list, and what it was made from.
#[derive(Debug)]
pub struct Published {
    pub(super) list: Arc<PublishedList>,
    pub(super) rules: Arc<Rules>,
    /// When it was last compared with the cameras' certificates.
    pub(super) checked: Timestamp,
}
