//! Transactions whose signature was verified here before.
//!
//! Each is met several times: when it is pushed, when it is proposed, and in every block of it that
//! is proposed by others. In memory only: what stands in the database anybody may have written who
//! can write there.

use std::collections::BTreeSet;

use birthmark_ledger::TransactionHash;
use quick_cache::sync::Cache;

/// How many are remembered: more than the pool and a few blocks hold, 32 bytes each.
const REMEMBERED: usize = 50_000;

/// Names of transactions. A name covers every byte, the signature too.
#[derive(Debug)]
pub(super) struct Verified(Cache<TransactionHash, ()>);

impl Default for Verified {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Verified {
    pub(super) fn insert(&self, transaction: TransactionHash) {
        self.0.insert(transaction, ());
    }

    /// Those of them that were verified.
    pub(super) fn among(
        &self,
        transactions: &BTreeSet<TransactionHash>,
    ) -> BTreeSet<TransactionHash> {
        let verified = |hash: &&TransactionHash| self.0.get(*hash).is_some();
        transactions.iter().filter(verified).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_verified_is_not_verified_again() {
        let verified = Verified::default();
        let name = |byte| TransactionHash::from_bytes([byte; 32]);
        verified.insert(name(1));
        verified.insert(name(3));
        let asked = BTreeSet::from([name(1), name(2)]);
        assert_eq!(verified.among(&asked), BTreeSet::from([name(1)]));
    }
}
