//! What a block that is judged asks the registry.

use std::collections::BTreeSet;

use birthmark_ledger::{Height, Known, Lookups, TransactionHash};
use birthmark_protocol::{Digest, ModificationLevel};

use super::{Registry, RegistryError};

impl Registry {
    /// Answers a block's lookups.
    pub async fn known(&self, lookups: &Lookups) -> Result<Known, RegistryError> {
        let mut known = Known::default();
        for original in &lookups.originals {
            if let Some(level) = self.lowest_level(original).await? {
                known.originals.insert(*original, level);
            }
        }
        known.transactions = self.registered(&lookups.transactions).await?;
        known.verified = self.verified.among(&lookups.transactions);
        known.epochs = self.epochs();
        for name in &lookups.one_time_keys {
            if self.store.spender(name).await?.is_some() {
                known.spent.insert(*name);
            }
        }
        for height in &lookups.anchors {
            if let Some(hash) = self.block_hash(*height).await? {
                known.anchors.insert(*height, hash);
            }
        }
        Ok(known)
    }

    /// The hash of a decided block; the genesis hash for height 0.
    pub async fn block_hash(&self, height: Height) -> Result<Option<Digest>, RegistryError> {
        if height == Height::GENESIS {
            return Ok(Some(self.genesis.hash()));
        }
        let tip = self.tip();
        if height == tip.height() {
            return Ok(Some(*tip.hash()));
        }
        if height > tip.height() {
            return Ok(None);
        }
        let decided = self.stored_block(height.get()).await?;
        Ok(decided.map(|decided| decided.block.header.hash()))
    }

    async fn registered(
        &self,
        hashes: &BTreeSet<TransactionHash>,
    ) -> Result<BTreeSet<TransactionHash>, RegistryError> {
        let mut known = BTreeSet::new();
        for hash in hashes {
            if self.store.transaction(hash).await?.is_some() {
                known.insert(*hash);
            }
        }
        Ok(known)
    }

    /// The lowest level an image is registered at.
    pub async fn lowest_level(
        &self,
        digest: &Digest,
    ) -> Result<Option<ModificationLevel>, RegistryError> {
        let found = self.find(digest).await?;
        Ok(found
            .iter()
            .filter_map(|found| Some(found.record().image(digest)?.level))
            .min())
    }
}
