//! What a TPM says about a camera's key, and how an authority checks it without one.
//!
//! A camera sends its endorsement certificate (the chip's maker vouches for that key), the public
//! areas of its attestation and signing keys, and the chip's statement about the signing key.
//! [`Evidence::check`] proves that the attestation key made the statement, that it is about the
//! signing key, and that the signing key cannot leave its chip. It does not prove that the
//! attestation key lives in the certified chip: for that the authority makes a [`Credential`] that
//! only that chip opens, and delivers the master keys under the secret inside.
//!
//! Nothing here verifies certificate chains or does RSA: the caller brings both.

mod credential;
mod public_area;
mod statement;

use serde::{Deserialize, Serialize};

pub use credential::{Credential, CredentialSecret, EccRandomness, OaepEncryption, SeedEncryption};
pub use public_area::{EndorsementKey, KeyName, PublicArea};
pub use statement::CertifyStatement;

use crate::bytes::DecodeError;
use crate::digest::Digest;
use crate::public_key::{PublicKey, Signature};

/// The longest certificate or structure a camera may send.
pub const MAX_FIELD: usize = 8 * 1024;

/// Everything a camera's TPM has to say, as it travels in a provisioning request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The certificate of the endorsement key, DER in base64; absent when the chip's maker stored
    /// none.
    #[serde(
        default,
        with = "base64_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub endorsement_certificate: Option<Vec<u8>>,
    /// The endorsement key's public area (TPMT_PUBLIC), base64.
    #[serde(with = "base64_bytes")]
    pub endorsement_key: Vec<u8>,
    /// The attestation key's public area (TPMT_PUBLIC), base64.
    #[serde(with = "base64_bytes")]
    pub attestation_key: Vec<u8>,
    /// The signing key's public area (TPMT_PUBLIC), base64.
    #[serde(with = "base64_bytes")]
    pub signing_key: Vec<u8>,
    /// What the attestation key signed (TPMS_ATTEST), base64.
    #[serde(with = "base64_bytes")]
    pub statement: Vec<u8>,
    /// The attestation key's signature over the statement, DER in base64.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

/// What [`Evidence::check`] found. It becomes an attestation only when the camera returns the
/// credential's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedEvidence {
    /// The key the chip's maker vouches for; compare it with the certificate.
    pub endorsement_key: EndorsementKey,
    /// The name the credential must be made for.
    pub attestation_key_name: KeyName,
    /// The camera's key: what its certificate will be about.
    pub signing_key: PublicKey,
    /// The chip's firmware version, as it reports it.
    pub firmware: u64,
}

/// Why evidence convinces nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// A structure's bytes are not one.
    #[error("the {0} is malformed: {1}")]
    Malformed(&'static str, DecodeError),
    /// A structure uses an algorithm or form we do not accept.
    #[error("the {0} is of a kind that is not accepted: {1}")]
    Unsupported(&'static str, &'static str),
    /// A key could be used in a way that voids the proof.
    #[error("the {0} {1}")]
    Attributes(&'static str, &'static str),
    /// The statement was not made for this request.
    #[error("the statement answers another challenge than the one given")]
    Nonce,
    /// The statement speaks about another key.
    #[error("the statement is about another key than the signing key sent with it")]
    OtherKey,
    /// The attestation key did not sign the statement.
    #[error("the statement's signature does not hold")]
    Signature,
    /// The certificate is not about the endorsement key.
    #[error("the endorsement certificate {0}")]
    Certificate(&'static str),
    /// The credential could not be made.
    #[error("no credential could be made for this endorsement key: {0}")]
    Credential(String),
}

impl Evidence {
    /// Checks everything that needs neither a chip nor a certificate chain.
    pub fn check(&self, nonce: &[u8; 32]) -> Result<CheckedEvidence, AttestationError> {
        let attestation_key = PublicArea::parse("attestation key", &self.attestation_key)?;
        attestation_key.must_attest()?;
        let signing_key = PublicArea::parse("signing key", &self.signing_key)?;
        signing_key.must_sign_only_in_its_chip()?;
        let endorsement_key =
            PublicArea::parse("endorsement key", &self.endorsement_key)?.into_endorsement_key()?;

        let signature =
            Signature::from_der(&self.signature).map_err(|_| AttestationError::Signature)?;
        attestation_key
            .p256()?
            .verify_digest(&Digest::of(&self.statement), &signature)
            .map_err(|_| AttestationError::Signature)?;
        let statement = CertifyStatement::parse(&self.statement)?;
        if statement.nonce != nonce {
            return Err(AttestationError::Nonce);
        }
        if statement.name != *signing_key.name() {
            return Err(AttestationError::OtherKey);
        }
        Ok(CheckedEvidence {
            endorsement_key,
            attestation_key_name: attestation_key.name().clone(),
            signing_key: signing_key.p256()?,
            firmware: statement.firmware,
        })
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| D::Error::custom("not base64"))?;
        if bytes.len() > super::MAX_FIELD {
            return Err(D::Error::custom(format!(
                "{} bytes are more than the {} allowed",
                bytes.len(),
                super::MAX_FIELD
            )));
        }
        Ok(bytes)
    }
}

mod base64_optional {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Bytes(#[serde(with = "super::base64_bytes")] Vec<u8>);

    pub fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::base64_bytes::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|Bytes(bytes)| bytes))
    }
}

#[cfg(test)]
mod tests;
