//! What is taken once: each digest for one camera, and each token for one photo.

use std::collections::HashMap;

use super::bulk::{Bulk as _, Keys};
use super::receipt_id::ReceiptId;
use super::{Store, StoreError, on};
use crate::lookup_key::SHORT;

pub(super) const CLAIMS: Keys = Keys {
    table: "claims",
    key: "claim",
};
pub(super) const SPENT: Keys = Keys {
    table: "spent_tokens",
    key: "token",
};

/// The claims and tokens some submissions need.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Each digest, for this camera.
    pub claims: Vec<Vec<u8>>,
    /// Each token.
    pub tokens: Vec<Vec<u8>>,
}

/// Who owns what is wanted, of what is owned.
#[derive(Debug, Default)]
pub struct Owners {
    /// By claim.
    pub claims: HashMap<Vec<u8>, ReceiptId>,
    /// By token.
    pub tokens: HashMap<Vec<u8>, ReceiptId>,
}

impl Store {
    /// Who took these claims, for those that are taken.
    pub async fn claimed(
        &self,
        claims: &[Vec<u8>],
    ) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        self.owners(CLAIMS, claims).await
    }

    /// Which submissions these tokens were spent for, for those that are spent.
    pub async fn spent(&self, tokens: &[Vec<u8>]) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        self.owners(SPENT, tokens).await
    }

    async fn owners(
        &self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> Result<Vec<(Vec<u8>, ReceiptId)>, StoreError> {
        let rows = on!(&self.read, pool => {
            let mut connection = pool.acquire().await?;
            connection.owners(table, keys).await?
        });
        owned(rows)
    }
}

/// Keys and who owns them, in whatever holds such pairs.
pub(super) fn owned<C>(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<C, StoreError>
where
    C: FromIterator<(Vec<u8>, ReceiptId)>,
{
    rows.into_iter()
        .map(|(key, id)| Ok((key, ReceiptId::from_stored(&id)?)))
        .collect()
}

/// Claims or tokens as they stand one after another beside a transaction of the pool.
pub(super) fn keys_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.chunks(SHORT).map(<[u8]>::to_vec).collect()
}
