//! Who decided which blocks, and under which names they were known.

use std::sync::{Arc, PoisonError};

use birthmark_ledger::{SetLink, ValidatorId, ValidatorSet};

use super::{Decided, Registry};

impl Registry {
    pub(super) fn remember_link(&self, decided: &Decided) {
        let Some(change) = &decided.block.change else {
            return;
        };
        let link = SetLink {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
            validators: change.next.clone(),
        };
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(link));
    }

    /// Changes of validators before `height`, oldest first.
    pub fn links_before(&self, height: u64) -> Vec<SetLink> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links
            .iter()
            .filter(|link| link.header.height.get() < height)
            .map(|link| SetLink::clone(link))
            .collect()
    }

    /// Who decides the block after `height`.
    pub fn validators_after(&self, height: u64) -> ValidatorSet {
        let last = self.links_before(height.saturating_add(1)).pop();
        last.map_or_else(|| self.genesis.validators.clone(), |link| link.validators)
    }

    /// The name under which a validator of this height is known.
    pub fn validator_name(&self, height: u64, id: &ValidatorId) -> Option<String> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let last = links.iter().rfind(|link| link.header.height.get() < height);
        let set = last.map_or(&self.genesis.validators, |link| &link.validators);
        set.get(id).map(|validator| validator.name.to_string())
    }

    /// The name of a validator that decided earlier blocks, as it was last.
    pub fn former_name(&self, id: &ValidatorId) -> Option<String> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let later = links.iter().rev().map(|link| &link.validators);
        let mut sets = later.chain([&self.genesis.validators]);
        let found = sets.find_map(|set| set.get(id));
        found.map(|validator| validator.name.to_string())
    }
}
