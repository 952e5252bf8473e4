//! A submission that waits for its authority: everything needed to ask, and to make a record of the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::{Bundle, Commitment, Digest, Opening};
use serde::{Deserialize, Serialize};

use crate::store::{ReceiptId, StoreError};

/// What is kept until the authority has decided, and not a moment longer: the opening stands here and nowhere else.
#[derive(Serialize, Deserialize)]
pub struct Request {
    bundle: String,
    opening: String,
    /// Whether the camera's signature was checked under its authority's chain.
    pub signed: bool,
    /// What nobody else may claim: the photo of this camera.
    #[serde(with = "hex")]
    pub claim: Vec<u8>,
    /// The token this photo spends.
    #[serde(
        with = "hex::serde_option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub token: Option<Vec<u8>>,
    /// What the authority is asked. For those nobody is asked about, who stands behind it instead.
    pub asked: Asked,
}

/// Who is asked, or why nobody is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A manufacturer's authority, this question.
    Authority(serde_json::Value),
    /// Nobody: editing software, its certificate checked here.
    Software {
        /// The software authority.
        authority: String,
        /// The application.
        family: String,
        /// The registered image it was made from.
        original: Digest,
    },
    /// Nobody: a registered submission server's word.
    Server {
        /// The server.
        name: String,
        /// The registered image it was made from, if any.
        original: Option<Digest>,
    },
}

mod hex {
    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&::hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        ::hex::decode(text).map_err(serde::de::Error::custom)
    }

    pub(super) mod serde_option {
        pub(in super::super) fn serialize<S: serde::Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => super::serialize(bytes, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: serde::Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

impl Request {
    /// Puts together what waits.
    pub fn new(
        bundle: &Bundle,
        opening: &Opening,
        signed: bool,
        credential: &Digest,
        token: Option<Digest>,
        asked: Asked,
    ) -> Self {
        Self {
            bundle: STANDARD.encode(bundle.encode()),
            opening: ::hex::encode(opening.expose()),
            signed,
            claim: claim(bundle, credential),
            token: token.map(|token| half(&token)),
            asked,
        }
    }

    /// The name under which this is answered. Equal claims with equal proofs have equal names.
    pub fn receipt_id(&self) -> ReceiptId {
        let asked = match &self.asked {
            Asked::Authority(question) => written(&WithoutCommitment(question)),
            other => written(other),
        };
        let digest = Digest::tagged(
            "birthmark/receipt-id/v1",
            &[self.bundle.as_bytes(), &[0], &asked],
        );
        let (bytes, _) = digest
            .as_bytes()
            .split_first_chunk::<16>()
            .unwrap_or((&[0; 16], &[]));
        ReceiptId(uuid::Builder::from_custom_bytes(*bytes).into_uuid())
    }

    /// What the camera claims.
    pub fn bundle(&self) -> Result<Bundle, StoreError> {
        let bytes = STANDARD
            .decode(&self.bundle)
            .map_err(|error| corrupt(&error))?;
        Bundle::decode(&bytes).map_err(|error| corrupt(&error))
    }

    /// What opens the commitment.
    pub fn opening(&self) -> Result<Opening, StoreError> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        ::hex::decode_to_slice(&self.opening, bytes.as_mut_slice())
            .map_err(|error| corrupt(&error))?;
        Ok(Opening::from_bytes(*bytes))
    }

    /// What the authority is asked about.
    pub fn commitment(&self) -> Result<Commitment, StoreError> {
        Ok(Commitment::new(&self.bundle()?.digest(), &self.opening()?))
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        written(self)
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| corrupt(&error))
    }
}

/// The photo of one camera, under a digest of both: whoever reads the database cannot tell which photos share a camera.
fn claim(bundle: &Bundle, credential: &Digest) -> Vec<u8> {
    let photo = bundle.images().first().map(|image| image.digest);
    let photo = photo.as_ref().map_or(&[0; 32], Digest::as_bytes);
    half(&Digest::tagged(
        "birthmark/claim/v1",
        &[photo, credential.as_bytes()],
    ))
}

/// 128 bits never meet by accident, and halve the largest tables.
fn half(digest: &Digest) -> Vec<u8> {
    digest.as_bytes().split_at(16).0.to_vec()
}

/// JSON in one piece of memory that most questions fit: they hold a certificate.
fn written(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(3072);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => text,
        Err(_) => Vec::new(),
    }
}

/// A question without what differs with each drawn opening and says nothing new.
struct WithoutCommitment<'a>(&'a serde_json::Value);

impl Serialize for WithoutCommitment<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(fields) = self.0.as_object() else {
            return self.0.serialize(serializer);
        };
        let mut fields: Vec<_> = fields.iter().collect();
        for name in ["commitment", "image_hash"] {
            if let Some(at) = fields.iter().position(|(field, _)| *field == name) {
                // The order that this leaves is part of every name.
                fields.swap_remove(at);
            }
        }
        serializer.collect_map(fields)
    }
}

fn corrupt(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a waiting submission: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_rests_on_everything_but_the_commitment() {
        let (one, other) = (Digest::of(b"one").to_hex(), Digest::of(b"other").to_hex());
        let question = |commitment: &str| {
            json!({
                "camera_cert": "MII+/=",
                "image_hash": commitment,
                "camera_token": {"table_id": 7},
                "commitment": commitment,
                "manufacturer_authority_id": "maker",
            })
        };
        let text = |question: &serde_json::Value| {
            String::from_utf8(written(&WithoutCommitment(question))).unwrap()
        };
        assert_eq!(
            text(&question(&one)),
            r#"{"camera_cert":"MII+/=","manufacturer_authority_id":"maker","camera_token":{"table_id":7}}"#
        );
        assert_eq!(text(&question(&one)), text(&question(&other)));
        assert_eq!(text(&json!([1])), "[1]");
    }
}
