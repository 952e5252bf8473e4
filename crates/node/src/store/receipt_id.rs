//! The name of a submission, as it stands in the database.

use uuid::Uuid;

use super::StoreError;

/// The name a submission is answered under. Equal submissions have equal names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ReceiptId(pub Uuid);

impl ReceiptId {
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    pub(super) fn from_stored(bytes: &[u8]) -> Result<Self, StoreError> {
        Uuid::from_slice(bytes)
            .map(Self)
            .map_err(|_| StoreError::Corrupt("a receipt id".into()))
    }
}
