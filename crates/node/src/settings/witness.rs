//! Witnesses of this registry, and registries that this validator is a witness of.

use std::path::PathBuf;

use birthmark_daemon::ConfigError;
use birthmark_ledger::ChainId;
use birthmark_ledger::witness::VerifierKey;
use serde::{Deserialize, Serialize};

/// Somebody outside the registry who is asked to cosign its checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessOfUs {
    /// Its address; `add-checkpoint` is below it.
    pub url: String,
    /// The key that it publishes, `name+id+key`.
    pub key: VerifierKey,
}

/// This validator as a witness of other registries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessSettings {
    /// The folder that remembers what was cosigned last. Beside `signed_heights` if left out. Never
    /// in a backup, never on a volume that is rolled back.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Whose checkpoints are cosigned.
    pub logs: Vec<LogSettings>,
}

/// A registry, or another transparency log with a name of the same form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Its name: the first line of its checkpoints.
    pub origin: ChainId,
    /// Its keys, of which any one must have signed: what `birthmark-node witness` prints there.
    pub keys: Vec<VerifierKey>,
}

impl WitnessSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (place, log) in self.logs.iter().enumerate() {
            let field = |name: &str, reason: String| {
                Err(ConfigError::field(
                    format!("witness.logs.{place}.{name}"),
                    reason,
                ))
            };
            let mut others = self.logs.iter().take(place);
            if others.any(|other| other.origin == log.origin) {
                return field("origin", format!("{} is named twice", log.origin));
            }
            if log.keys.is_empty() {
                return field("keys", "must name at least one key".to_owned());
            }
            if let Some(key) = log.keys.iter().find(|key| !key.is_of_log()) {
                return field("keys", format!("{key} is a cosigner's key, not a log's"));
            }
        }
        Ok(())
    }
}

/// Refuses witnesses that could not be told apart, and keys that cosign nothing.
pub(super) fn check_asked(witnesses: &[WitnessOfUs]) -> Result<(), ConfigError> {
    for (place, witness) in witnesses.iter().enumerate() {
        let (key, name) = (&witness.key, witness.key.name());
        let field = format!("witnesses.{place}.key");
        if key.is_of_log() {
            let reason = format!("{key} is a log's key; a witness signs with a cosigner's");
            return Err(ConfigError::field(field, reason));
        }
        let mut others = witnesses.iter().take(place);
        if others.any(|other| other.key.name() == name) {
            return Err(ConfigError::field(field, format!("{name} is named twice")));
        }
    }
    Ok(())
}
