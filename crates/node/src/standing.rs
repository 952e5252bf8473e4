//! What this node is in its registry: a validator, or a follower.

use birthmark_consensus::is_of;
use birthmark_ledger::{CheckpointKey, ValidatorId, ValidatorSet};
use birthmark_link::Identity;

use crate::identity;
use crate::registry::Registry;

/// How many characters of its identity make up a follower's name.
const SHORT: usize = 8;

/// Refuses keys that cannot be those of a validator of this set.
pub fn check_keys(
    validators: &ValidatorSet,
    own: &ValidatorId,
    checkpoint: &CheckpointKey,
) -> anyhow::Result<()> {
    let entry = validators.get(own).ok_or_else(|| {
        let reason = "it belongs to no validator of the genesis";
        identity::unusable(identity::VOTE_KEY, reason)
    })?;
    if !is_of(entry, checkpoint) {
        let reason = "it is not this validator's in the genesis, or in the last change; load the one that was made with the vote key";
        return Err(identity::unusable(identity::CHECKPOINT_KEY, reason).into());
    }
    Ok(())
}

/// The name of the node with this vote key: as a validator, as the validator that it was, or as a
/// follower.
///
/// A validator's key that counts no longer, or not yet, is no fault in a network: the node follows,
/// and says so.
pub fn name(
    registry: &Registry,
    own: &ValidatorId,
    checkpoint: &CheckpointKey,
    link: &Identity,
) -> anyhow::Result<String> {
    let tip = registry.tip();
    if let Some(entry) = tip.validators().get(own) {
        check_keys(tip.validators(), own, checkpoint)?;
        return Ok(entry.name.to_string());
    }
    log::warn!(
        "this node follows the registry: its vote key belongs to none of the {} validators that decide the next block",
        tip.validators().len()
    );
    let former = registry.former_name(own);
    Ok(former.unwrap_or_else(|| {
        let short: String = link.to_string().chars().take(SHORT).collect();
        format!("follower-{short}")
    }))
}
