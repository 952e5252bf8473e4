//! Bytes as hexadecimal text in JSON and TOML, for types the protocol crate keeps free of it.

use birthmark_protocol::{PublicKey, Signature};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    hex::decode(text.as_ref()).map_err(D::Error::custom)
}

/// A P-256 key as its compressed point, 66 characters.
pub(crate) mod public_key {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(key: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(key.to_compressed()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        PublicKey::from_sec1(&text(from)?).map_err(D::Error::custom)
    }
}

/// A signature as `r ‖ s`, 128 characters.
pub(crate) mod signature {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Signature, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value.to_bytes()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signature, D::Error> {
        let bytes = text(from)?;
        let bytes = bytes.as_slice().try_into().map_err(D::Error::custom)?;
        Signature::from_bytes(bytes).map_err(D::Error::custom)
    }
}

/// 32 bytes, 64 characters.
pub(crate) mod bytes32 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        text(from)?
            .try_into()
            .map_err(|_| D::Error::custom("expected 64 hexadecimal characters"))
    }
}
