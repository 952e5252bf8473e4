//! The genesis: what a registry starts from and what every receipt is in the end checked against.
//!
//! A file in TOML or JSON; layout, comments and the order of validators do not matter, only what it
//! says:
//!
//! ```toml
//! chain_id = "birthmark.example/registry"
//! start = 1790000000          # seconds since 1970
//! rehearsal = false           # true: records of simulated cameras are taken, and every answer says so
//!
//! [[validators]]
//! name = "library.example.edu"
//! vote_key = "02…"            # compressed P-256 point, 66 hexadecimal characters
//! checkpoint_key = "…"        # Ed25519, 64 hexadecimal characters
//! log_key = "…"               # Ed25519, 64 hexadecimal characters
//! ```
//!
//! Its hash is
//! `SHA-256("birthmark/genesis/v1" ‖ 00 ‖ u8 version (1) ‖ u8 + chain id ‖ i64 start ‖ u8 rehearsal 0|1 ‖ validator set)`.
//! That hash is the registry's true name: every signature made in it covers it.

use birthmark_protocol::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::label::ChainId;
use crate::validators::ValidatorSet;

/// The version of the encoding this program hashes.
pub const GENESIS_VERSION: u8 = 1;

/// The start of a registry. With `serde` it reads and writes any format: the node's file is TOML.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The registry's name, and the origin of its checkpoints.
    pub chain_id: ChainId,
    /// When it starts; the first block comes later.
    pub start: Timestamp,
    /// Whether this registry is a rehearsal: only then may it hold records of simulated cameras and
    /// of files.
    #[serde(default)]
    pub rehearsal: bool,
    /// Who decides the first block.
    pub validators: ValidatorSet,
}

/// Why a text is no genesis.
#[derive(Debug, thiserror::Error)]
#[error("not a genesis: {0}")]
pub struct GenesisError(#[from] serde_json::Error);

impl Genesis {
    /// The registry's true name.
    pub fn hash(&self) -> Digest {
        let mut bytes = vec![GENESIS_VERSION];
        self.chain_id.put(&mut bytes);
        bytes.extend(self.start.unix().to_be_bytes());
        bytes.push(u8::from(self.rehearsal));
        bytes.extend(self.validators.encode());
        Digest::tagged("birthmark/genesis/v1", &[&bytes])
    }

    /// Reads the JSON form.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        Ok(serde_json::from_str(text)?)
    }
}
