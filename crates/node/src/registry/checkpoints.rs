//! The registry as verifiers of transparency logs follow it.

use std::collections::BTreeMap;

use birthmark_ledger::{Checkpoint, ConsistencyProof, ProofPlan, SignedCheckpoint};

use super::{Decided, Registry, RegistryError};

impl Registry {
    /// The tree after a block, with the validators' lines.
    pub fn checkpoint_of(&self, decided: &Decided) -> SignedCheckpoint {
        let origin = self.genesis().chain_id.clone();
        SignedCheckpoint {
            checkpoint: Checkpoint::after(origin, &decided.block.header),
            signatures: decided.checkpoint_lines.clone(),
        }
    }

    /// The tree after the newest block; nothing before the first.
    pub async fn newest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, RegistryError> {
        let decided = self.block(self.tip().height().get()).await?;
        Ok(decided.map(|decided| self.checkpoint_of(&decided)))
    }

    /// That the tree of `old` records is the beginning of the tree of `new` records. The later one
    /// must be there.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, RegistryError> {
        let plan = ProofPlan::consistency(old, new)?;
        let mut hashes = BTreeMap::new();
        for node in plan.nodes() {
            hashes.insert(node, self.subtree(node).await?);
        }
        let path = plan.assemble(|node| hashes.get(&node).copied())?;
        Ok(ConsistencyProof { old, new, path })
    }
}
