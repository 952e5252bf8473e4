//! Whether this node's keys are those that the registry knows.

use birthmark_consensus::is_of;
use birthmark_daemon::{Context, CredentialError};
use birthmark_ledger::{Genesis, ValidatorId, ValidatorSet, VoteSigner as _};

use super::Report;
use crate::commands::say;
use crate::identity;
use crate::network;
use crate::settings::Settings;

/// Somebody's shell has no credentials; that is no fault of the node's.
const KEYS_NOT_SEEN: &str = "skipped  keys: systemd hands them to the node alone. To look at them too:
         systemd-run --quiet --wait --pipe --collect -p User=birthmark-node \\
             -p LoadCredential=vote-key:/etc/credstore/birthmark-node.vote-key \\
             -p LoadCredential=checkpoint-key:/etc/credstore/birthmark-node.checkpoint-key \\
             -p LoadCredential=lookup-key:/etc/credstore/birthmark-node.lookup-key birthmark-node doctor";

fn are_not_ours_to_see(error: &anyhow::Error) -> bool {
    let missing = error.downcast_ref();
    matches!(missing, Some(CredentialError::NoDirectory { .. }))
}

impl Report {
    pub(super) fn keys(
        &mut self,
        settings: &Settings,
        context: &Context,
        genesis: anyhow::Result<(Genesis, ValidatorSet)>,
    ) -> anyhow::Result<Option<ValidatorId>> {
        let network = settings.network.as_ref();
        if network.is_some_and(|network| network.follow) {
            self.well("this node follows the registry and needs no vote key")?;
            return Ok(None);
        }
        let keys = identity::keys(&context.credentials);
        if let Err(error) = identity::lookup_key(&context.credentials)
            && !are_not_ours_to_see(&error)
        {
            self.ill(&format!("{error:#}"), "See docs/VALIDATOR.md, first start.")?;
        }
        if genesis.is_ok() && keys.as_ref().err().is_some_and(are_not_ours_to_see) {
            say(KEYS_NOT_SEEN)?;
            return Ok(None);
        }
        match (genesis, keys) {
            (Ok((genesis, validators)), Ok(keys)) => {
                let own = ValidatorId::of(&keys.vote.public_key());
                match validators.get(&own) {
                    Some(entry) if !is_of(entry, &keys.checkpoint) => {
                        self.ill(
                            "the checkpoint key is not this validator's in the registry",
                            "Load the key that was made together with the vote key.",
                        )?;
                    }
                    Some(entry) => {
                        self.well(&format!(
                            "keys belong to {} in the registry {}",
                            entry.name, genesis.chain_id
                        ))?;
                        self.peers(settings, &validators, entry.name.as_str())?;
                    }
                    None => self.ill(
                        "the vote key belongs to no validator of the registry",
                        "Load the right credential, or ask the others to take you in. In a network this node follows until then.",
                    )?,
                }
                Ok(Some(own))
            }
            (genesis, keys) => {
                let errors = [genesis.err(), keys.err()];
                for error in errors.into_iter().flatten() {
                    self.ill(&format!("{error:#}"), "See docs/VALIDATOR.md, first start.")?;
                }
                Ok(None)
            }
        }
    }

    fn peers(
        &mut self,
        settings: &Settings,
        validators: &ValidatorSet,
        own: &str,
    ) -> anyhow::Result<()> {
        let count = validators.len();
        let peers = settings.network.iter().flat_map(|network| &network.peers);
        let peers: Vec<_> = peers.map(|peer| peer.name.clone()).collect();
        if settings.network.is_some() {
            for name in network::unreachable(&peers, validators, own) {
                self.ill(
                    &network::has_no_peer(&name),
                    "Add it with its address and identity, and start this validator again.",
                )?;
            }
        }
        match network::check(settings, validators, own) {
            Ok(()) if count == 1 => {
                self.well("this validator is the whole set: there are no peers to reach")
            }
            Ok(()) => self.well(&format!(
                "{count} validators decide together, and the settings say how they are reached"
            )),
            Err(error) => self.ill(&format!("{error}"), "See docs/NETWORK.md."),
        }
    }
}
