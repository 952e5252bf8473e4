//! What an authority has withdrawn, as a list that everybody can check: written by the authority,
//! read by validators.
//!
//! The list travels as JSON text inside an envelope; the authority's verdict key signs that text,
//! byte for byte, after [`DOMAIN`]. Every list has a number that only grows, so that nobody can
//! bring back an older one, and says until when it may be used, so that nobody can keep a newer one
//! away unnoticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::numbers::Timestamp;
use crate::public_key::{KeyId, PublicKey, Signature};

/// What the key signs begins with this; the text follows.
pub const DOMAIN: &str = "birthmark/revocations/v1";

/// What a revocation covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// One camera, by the maker's number. Only the authority itself knows this scope; the public
    /// list names the camera's certificate instead.
    Device {
        /// The maker's number.
        serial: String,
    },
    /// Every camera of a model.
    Family {
        /// The model.
        family: String,
    },
    /// Every camera that was provisioned with a firmware of a range, both ends included.
    Firmware {
        /// Only of this model.
        family: Option<String>,
        /// First version.
        from: String,
        /// Last version.
        to: String,
    },
    /// Certificates by serial number in hexadecimal, both ends included.
    Certificates {
        /// Lowest serial number.
        first: String,
        /// Highest serial number.
        last: String,
    },
    /// Every certificate whose validity begins between two moments, both included: five minutes
    /// before it was issued.
    Issued {
        /// Seconds since 1970.
        from: i64,
        /// Seconds since 1970.
        until: i64,
    },
}

/// A revocation as the public sees it: a camera appears by its certificate, never by the maker's
/// number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revocation {
    /// Its number.
    pub id: i64,
    /// What it covers; null for a camera without a certificate.
    pub scope: Option<Scope>,
    /// From when, in seconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub from: Timestamp,
    /// Until when; for good if null.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// The content of the signed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationList {
    /// Whose list this is.
    pub manufacturer_id: String,
    /// Grows with every list this authority signs: a reader that has seen a number refuses every
    /// lower one.
    pub number: u64,
    /// When it was signed, in seconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub issued_at: Timestamp,
    /// When a newer list will have replaced this one, in seconds since 1970. A reader that has none
    /// by then says so.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub next: Timestamp,
    /// All revocations that were not lifted, oldest first.
    pub revocations: Vec<Revocation>,
}

/// The list as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedList {
    /// The list as JSON text: exactly what was signed.
    pub signed: String,
    /// `r ‖ s` in base64, over SHA-256 of `birthmark/revocations/v1` and the text.
    pub signature: String,
    /// Which verdict key signed.
    pub key_id: String,
}

/// Why a list is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not a list in its envelope.
    #[error("the list cannot be read: {0}")]
    Format(String),
    /// The signature is not 64 bytes in base64.
    #[error("the list has no readable signature")]
    Signature,
    /// None of the pinned keys signed it.
    #[error("the list is not signed by a configured verdict key")]
    Unsigned,
    /// It is another authority's.
    #[error("the list is that of {0:?}")]
    Stranger(String),
    /// A newer one was seen before.
    #[error("the list has number {found}, and a list with number {seen} was seen before")]
    Older {
        /// The list's number.
        found: u64,
        /// The highest number seen.
        seen: u64,
    },
}

impl RevocationList {
    /// The list in its envelope. `sign` gets the bytes that are signed; none if it cannot sign.
    pub fn sign(
        &self,
        key: KeyId,
        sign: impl FnOnce(&[u8]) -> Option<Signature>,
    ) -> Result<Option<SignedList>, ListError> {
        let signed =
            serde_json::to_string(self).map_err(|error| ListError::Format(error.to_string()))?;
        Ok(sign(&message(&signed)).map(|signature| SignedList {
            signature: STANDARD.encode(signature.to_bytes()),
            key_id: key.to_string(),
            signed,
        }))
    }

    /// Whether a newer list should be here by `now`.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now > self.next
    }
}

impl SignedList {
    /// Reads an envelope; nothing of it is believed yet.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ListError> {
        serde_json::from_slice(bytes).map_err(|error| ListError::Format(error.to_string()))
    }

    /// The list, if one of these keys signed it, it is this authority's, and its number is not
    /// below the highest `seen`. The caller keeps that number where a restart does not lose it.
    pub fn open(
        &self,
        manufacturer: &str,
        keys: &[PublicKey],
        seen: u64,
    ) -> Result<RevocationList, ListError> {
        let signature = STANDARD
            .decode(&self.signature)
            .ok()
            .and_then(|bytes| Signature::from_bytes(&bytes.try_into().ok()?).ok())
            .ok_or(ListError::Signature)?;
        let message = message(&self.signed);
        if !keys
            .iter()
            .any(|key| key.verify(&message, &signature).is_ok())
        {
            return Err(ListError::Unsigned);
        }
        let list: RevocationList = serde_json::from_str(&self.signed)
            .map_err(|error| ListError::Format(error.to_string()))?;
        if list.manufacturer_id != manufacturer {
            return Err(ListError::Stranger(list.manufacturer_id));
        }
        if list.number < seen {
            return Err(ListError::Older {
                found: list.number,
                seen,
            });
        }
        Ok(list)
    }
}

fn message(text: &str) -> Vec<u8> {
    Digest::tagged_message(DOMAIN, &[text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;

    use super::*;

    fn key(seed: u8) -> (SigningKey, PublicKey) {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let public = PublicKey::from(*key.verifying_key());
        (key, public)
    }

    fn list(number: u64) -> RevocationList {
        RevocationList {
            manufacturer_id: "maker.example".into(),
            number,
            issued_at: Timestamp::from_unix(1_795_000_000),
            next: Timestamp::from_unix(1_795_086_400),
            revocations: vec![Revocation {
                id: 3,
                scope: Some(Scope::Family {
                    family: "Model".into(),
                }),
                from: Timestamp::from_unix(1_794_000_000),
                until: None,
                reason: "weak keys".into(),
            }],
        }
    }

    fn signed(list: &RevocationList, seed: u8) -> SignedList {
        let (key, public) = key(seed);
        let sign = |bytes: &[u8]| {
            let signature: p256::ecdsa::Signature = key.sign(bytes);
            Some(Signature::from(signature))
        };
        list.sign(public.id(), sign).unwrap().unwrap()
    }

    #[test]
    fn a_signed_list_is_opened_by_its_key_alone() {
        let envelope = signed(&list(7), 1);
        let keys = [key(2).1, key(1).1];
        assert_eq!(envelope.open("maker.example", &keys, 0), Ok(list(7)));
        assert_eq!(
            envelope.open("maker.example", &keys[..1], 0),
            Err(ListError::Unsigned)
        );
        assert_eq!(
            envelope.open("other.example", &keys, 0),
            Err(ListError::Stranger("maker.example".into()))
        );
        let changed = SignedList {
            signed: envelope.signed.replace("Model", "Other"),
            ..envelope.clone()
        };
        assert_eq!(
            changed.open("maker.example", &keys, 0),
            Err(ListError::Unsigned)
        );
        let garbled = SignedList {
            signature: "AA==".into(),
            ..envelope.clone()
        };
        assert_eq!(
            garbled.open("maker.example", &keys, 0),
            Err(ListError::Signature)
        );
        let text = serde_json::to_vec(&envelope).unwrap();
        assert_eq!(SignedList::from_json(&text), Ok(envelope));
        assert!(SignedList::from_json(b"[]").is_err());
    }

    #[test]
    fn an_older_list_is_refused_and_the_same_one_is_not() {
        let keys = [key(1).1];
        let envelope = signed(&list(7), 1);
        assert!(envelope.open("maker.example", &keys, 7).is_ok());
        assert_eq!(
            envelope.open("maker.example", &keys, 8),
            Err(ListError::Older { found: 7, seen: 8 })
        );
    }

    #[test]
    fn a_list_without_number_or_dates_is_no_list() {
        let whole = serde_json::to_value(list(7)).unwrap();
        for field in ["number", "issued_at", "next"] {
            let mut cut = whole.clone();
            cut.as_object_mut().unwrap().remove(field);
            assert!(serde_json::from_value::<RevocationList>(cut).is_err());
        }
    }

    #[test]
    fn a_list_is_stale_after_its_date() {
        let list = list(7);
        assert!(!list.is_stale(list.next));
        assert!(list.is_stale(list.next.plus(1)));
    }

    #[test]
    fn the_signed_text_does_not_change_its_bytes() {
        let text = signed(&list(7), 1).signed;
        assert_eq!(
            text,
            r#"{"manufacturer_id":"maker.example","number":7,"issued_at":1795000000,"next":1795086400,"revocations":[{"id":3,"scope":{"kind":"family","family":"Model"},"from":1794000000,"until":null,"reason":"weak keys"}]}"#
        );
    }
}
