//! SHA-256 digests, and what a digest of a photo was computed over.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::hexadecimal;

/// 32 bytes of SHA-256. Hex is how people read it; inside it is always bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// A digest has 64 hexadecimal characters.
    #[error("expected 64 hexadecimal characters, got {0}")]
    Length(usize),
    /// One of the characters is not hexadecimal.
    #[error("character {0} is not hexadecimal")]
    NotHex(usize),
}

impl Digest {
    /// Takes bytes that already are a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hashes a domain string, a zero byte and then `parts`, so that a digest made for one purpose
    /// is never valid for another. The zero byte ends the domain: without it `…/v1` would begin
    /// `…/v10`.
    pub fn tagged(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new_with_prefix(domain.as_bytes());
        hasher.update([0]);
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// What [`Digest::tagged`] hashes, for a signer that hashes by itself.
    pub fn tagged_message(domain: &str, parts: &[&[u8]]) -> Vec<u8> {
        [domain.as_bytes(), &[0], &parts.concat()].concat()
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal characters, lower case.
    pub fn to_hex(&self) -> String {
        self.with_hex(str::to_owned)
    }

    /// Hands over the 64 hexadecimal characters without keeping them.
    pub fn with_hex<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        let digits = hexadecimal::encode(&self.0);
        #[expect(clippy::disallowed_methods, reason = "digits are text by construction")]
        take(std::str::from_utf8(digits.as_flattened()).unwrap_or_default())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(bytes) = hexadecimal::decode(text) {
            return Ok(Self(bytes));
        }
        // Slower, and knows what is wrong.
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|error| match error {
            hex::FromHexError::InvalidHexCharacter { index, .. } => DigestError::NotHex(index),
            _ => DigestError::Length(text.len()),
        })?;
        Ok(Self(bytes))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;

    /// Reads stored bytes; the error counts hexadecimal characters, as everywhere.
    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| DigestError::Length(bytes.len() * 2))?;
        Ok(Self(bytes))
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.write_str(text))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a digest was computed over. Older cameras do not say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum DigestRole {
    /// The sender did not say.
    Unstated = 0,
    /// The sensor's bytes: packed rows without stride padding.
    Raw = 1,
    /// The file as saved, byte for byte: what a browser computes from a file.
    File = 2,
    /// The file without the metadata that services strip.
    ImageData = 3,
}

impl DigestRole {
    /// The role behind a stored byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Unstated),
            1 => Some(Self::Raw),
            2 => Some(Self::File),
            3 => Some(Self::ImageData),
            _ => None,
        }
    }

    /// The byte that is signed and stored.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unstated => "unstated",
            Self::Raw => "raw",
            Self::File => "file",
            Self::ImageData => "image-data",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_written_in_lower() {
        let lower = "ab".repeat(32);
        let digest: Digest = lower.to_uppercase().parse().unwrap();
        assert_eq!(digest.to_string(), lower);
    }

    #[test]
    fn a_bad_text_is_named_by_length_or_position() {
        assert_eq!("ab".parse::<Digest>(), Err(DigestError::Length(2)));
        assert_eq!(
            "ab".repeat(33).parse::<Digest>(),
            Err(DigestError::Length(66))
        );
        assert_eq!(
            "a".repeat(63).parse::<Digest>(),
            Err(DigestError::Length(63))
        );
        let mut text = "a".repeat(64);
        text.replace_range(10..11, "g");
        assert_eq!(text.parse::<Digest>(), Err(DigestError::NotHex(10)));
    }

    #[test]
    fn a_tag_separates_equal_contents() {
        assert_ne!(Digest::tagged("a", &[b"x"]), Digest::tagged("b", &[b"x"]));
        assert_eq!(Digest::tagged("a", &[b"x", b"y"]), Digest::of(b"a\0xy"));
        assert_eq!(
            Digest::tagged("a", &[b"x", b"y"]),
            Digest::of(&Digest::tagged_message("a", &[b"x", b"y"]))
        );
        assert_ne!(
            Digest::tagged("a/v1", &[b"0x"]),
            Digest::tagged("a/v10", &[b"x"])
        );
    }

    #[test]
    fn roles_keep_their_bytes() {
        for byte in 0..=3 {
            assert_eq!(DigestRole::from_byte(byte).unwrap().to_byte(), byte);
        }
        assert_eq!(DigestRole::from_byte(4), None);
    }
}
