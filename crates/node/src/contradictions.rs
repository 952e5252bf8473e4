//! Members of the network that contradicted themselves, in words.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use birthmark_consensus::Misbehaviour;

use crate::registry::Registry;
use crate::store::StoreError;

/// What is known of members that contradicted themselves. The proofs lie in the database.
#[derive(Debug, Default)]
pub struct Contradictions(Mutex<BTreeSet<String>>);

impl Contradictions {
    /// Reads what was found before.
    pub async fn load(registry: &Registry) -> Result<Self, StoreError> {
        let (chain, found) = (registry.genesis().hash(), Self::default());
        for proof in registry.store().misbehaviours().await? {
            let read = Misbehaviour::parse(&proof, &chain);
            let read = read.map_err(|error| {
                StoreError::Corrupt(format!("a proof of misbehaviour: {error}"))
            })?;
            found.add(registry, &read);
        }
        Ok(found)
    }

    /// Adds one; the sentence about it.
    pub fn add(&self, registry: &Registry, misbehaviour: &Misbehaviour) -> String {
        let height = misbehaviour.height().get();
        let name = registry.validator_name(height, misbehaviour.validator());
        let who = name.unwrap_or_else(|| format!("the validator {}", misbehaviour.validator()));
        let sentence = format!("{who} {misbehaviour}");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(sentence.clone());
        sentence
    }

    /// One sentence for each.
    pub fn list(&self) -> Vec<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().cloned().collect()
    }
}
