//! What an authority is asked and answers. Its questions are in [`crate::authority_request`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::attestation::{Credential, Evidence};
use crate::digest::Digest;
use crate::verdict::Assurance;

/// The answer about one photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validation {
    /// Whether a genuine camera that is not revoked stands behind it.
    pub valid: bool,
    /// Why, in a sentence.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Cow<'static, str>,
    /// Who answers.
    #[serde(default)]
    pub manufacturer_id: String,
    /// The model; never the camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// `token` or `attested`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub assurance: Option<Assurance>,
    /// On a pass: whether the authority made the camera's NUC hash up, so that nothing is known
    /// about its sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_nuc: Option<bool>,
    /// The signed verdict in base64, if the question named a commitment and the answer is yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Which key signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_key_id: Option<String>,
}

/// The answers about many photos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchValidation {
    /// In the order of the questions.
    pub results: Vec<BatchItem>,
    /// Who answers.
    #[serde(default)]
    pub manufacturer_id: String,
    /// One signed verdict in base64 over all that passed; null if none did.
    #[serde(default)]
    pub verdict: Option<String>,
    /// Which key signed it.
    #[serde(default)]
    pub verdict_key_id: Option<String>,
}

/// The answer about one photo of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchItem {
    /// What was asked about; null if that could not be read.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub commitment: Option<Digest>,
    /// Whether a genuine camera that is not revoked stands behind it.
    pub valid: bool,
    /// Why, in a sentence.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Cow<'static, str>,
    /// The model; never the camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// `token` or `attested`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub assurance: Option<Assurance>,
    /// On a pass: whether the authority made the camera's NUC hash up, so that nothing is known
    /// about its sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_nuc: Option<bool>,
}

/// What an authority states about its epochs, for validators to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EpochStatements {
    /// Who states it.
    pub manufacturer_id: String,
    /// Signed statements in base64, oldest first: keys, counts and withdrawals of epochs that are
    /// not long over.
    pub statements: Vec<String>,
}

/// A key that signs or signed verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictKeyAnswer {
    /// The first eight bytes of SHA-256 over the SubjectPublicKeyInfo, in hexadecimal.
    pub key_id: String,
    /// SubjectPublicKeyInfo in PEM.
    pub public_key: String,
    /// From when it may have signed, in seconds since 1970.
    pub not_before: i64,
    /// Until when it may have signed.
    pub not_after: i64,
    /// Since when it may have been in other hands: what it signed since is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrusted_from: Option<i64>,
    /// Its certificate under the intermediate, in PEM.
    pub certificate: String,
}

/// All verdict keys, also former ones: what they signed stays checkable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictKeys {
    /// Whose keys these are.
    pub manufacturer_id: String,
    /// Oldest first; the last one signs now.
    pub keys: Vec<VerdictKeyAnswer>,
}

/// `/health` of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthorityHealth {
    /// `ok` or `failing`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: Cow<'static, str>,
    /// The program.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub service: Cow<'static, str>,
    /// Whether the database answers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub database: Cow<'static, str>,
    /// Whether keys and certificates are in force.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub keys: Cow<'static, str>,
    /// Whether the disk has room.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub disk: Cow<'static, str>,
    /// How many cameras are registered.
    pub devices_registered: usize,
}

/// What a chip must include in its statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nonce {
    /// 32 bytes in hexadecimal. Good once, for five minutes.
    pub nonce: String,
}

/// What a chip sends.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceRequest {
    /// The nonce it was given.
    pub nonce: String,
    /// Public areas, statement, signature and the endorsement certificate, each in base64.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub evidence: Evidence,
}

/// What a chip gets for its evidence.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialAnswer {
    /// Names the session in the provisioning request.
    pub session: String,
    /// Opens only in the chip of the endorsement certificate, beside the attestation key.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub credential: Credential,
}

/// What a chip that has proven itself sends for a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewalRequest {
    /// The session, in hexadecimal.
    pub session: String,
    /// The credential's secret, in hexadecimal.
    pub secret: String,
}

/// A camera's certificate. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewed {
    /// The maker's number of the camera.
    pub device_serial: String,
    /// Its certificate in PEM: a new one, or the present one if it is not in the last third of its
    /// life.
    pub device_certificate: String,
    /// Intermediate and root in PEM.
    pub certificate_chain: Vec<String>,
    /// The certificate's last second, Unix time.
    pub not_after: i64,
    /// Whether the certificate was made for this request. Its last second does not tell: two
    /// certificates of one second end together.
    pub is_new: bool,
}
