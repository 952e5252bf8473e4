//! A change of validators as operators pass it on: in a file, and to a running node.

use std::path::Path;

use anyhow::Context as _;
use birthmark_daemon::durable;
use birthmark_ledger::SetChange;
use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

/// A change and the registry it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFile {
    /// The registry, by its genesis hash.
    #[schema(value_type = String)]
    pub chain: Digest,
    /// The change with its signatures, in hexadecimal.
    #[serde(with = "in_hexadecimal")]
    #[schema(value_type = String)]
    pub change: SetChange,
}

impl ChangeFile {
    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no change", path.display()))
    }

    /// Writes a new one; a file that exists is never overwritten.
    pub fn create(&self, path: &Path) -> anyhow::Result<()> {
        durable::create(path, self.text()?.as_bytes(), durable::PUBLIC)
            .with_context(|| format!("cannot create {}", path.display()))
    }

    /// Writes it again, with another signature.
    pub fn replace(&self, path: &Path) -> anyhow::Result<()> {
        durable::replace(path, self.text()?.as_bytes(), durable::PUBLIC)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn text(&self) -> anyhow::Result<String> {
        let what = "# A change of validators. `birthmark-node members show` says which.";
        Ok(format!("{what}\n{}", toml::to_string(self)?))
    }
}

mod in_hexadecimal {
    use birthmark_ledger::SetChange;
    use serde::de::Error;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(change: &SetChange, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(change.encode()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SetChange, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        SetChange::parse(&bytes).map_err(D::Error::custom)
    }
}
