//! The public answers that are kept for a moment.

use axum::body::Bytes;
use birthmark_protocol::KeyId;

use super::cached::Cached;

/// The last of each. The number counts changes of revocations and keys: after one, a new list is
/// made.
#[derive(Debug, Default)]
pub struct Lists {
    /// The certificate revocation list of each intermediate, in DER.
    pub crls: Cached<u64, Vec<(KeyId, Bytes)>>,
    /// How many cameras and validations there are, as JSON.
    pub totals: Cached<(), Bytes>,
}
