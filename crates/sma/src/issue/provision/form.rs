//! What is asked for a camera, and everything it loads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a camera, or the person at the production line, asks for. A field that is not here is
/// refused: what was meant by it would be lost.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvisionRequest {
    /// The maker's number of the camera.
    pub device_serial: String,
    /// The model.
    pub device_family: String,
    /// The camera's public key: P-256, or RSA of at least 2048 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_public_key: Option<String>,
    /// A PKCS#10 request in the place of the public key: it proves that the camera has the private
    /// key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
    /// The NUC hash in hexadecimal; made up if left out and the configuration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nuc_hash: Option<String>,
    /// What the camera runs; `app_version` in older clients.
    #[serde(
        default,
        alias = "app_version",
        skip_serializing_if = "Option::is_none"
    )]
    pub firmware: Option<String>,
    /// Whether the camera binds its tokens to photos; one that does is never believed with a token
    /// bound to nothing. True if left out, unless the configuration says that older cameras come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binds_tokens: Option<bool>,
    /// The end of an attestation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestationProof>,
}

/// What a chip that proved itself sends.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestationProof {
    /// The session, in hexadecimal.
    pub session: String,
    /// The credential's secret, in hexadecimal.
    pub secret: String,
    /// Send the master keys sealed under a key that only the chip can recover, in
    /// `sealed_master_keys`.
    #[serde(default)]
    pub seal_keys: bool,
}

/// Everything a camera loads.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub struct Provisioned {
    /// The maker's number of the camera.
    pub device_serial: String,
    /// Its certificate in PEM.
    pub device_certificate: String,
    /// Intermediate and root in PEM.
    pub certificate_chain: Vec<String>,
    /// Its tables.
    pub table_assignments: Vec<u16>,
    /// Their master keys in hexadecimal, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub master_keys: BTreeMap<String, String>,
    /// The master keys under the attestation's secret: nonce and AES-256-GCM ciphertext of the
    /// JSON, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_master_keys: Option<String>,
    /// The NUC hash in hexadecimal.
    pub nuc_hash: String,
    /// The same under the name of the first documents.
    pub simulated_nuc_hash: String,
    /// `given`, or `made up` by the authority: then it says nothing about a sensor.
    pub nuc: String,
    /// The model.
    pub device_family: String,
    /// Names this act of provisioning.
    pub provisioning_id: String,
    /// Who provisioned it.
    pub manufacturer_id: String,
    /// `token`, or `attested` when a TPM attested the key.
    pub assurance: String,
    /// When, RFC 3339.
    pub provisioned_at: String,
    /// A private key the authority made because the camera brought none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_private_key: Option<String>,
    /// The public key in PEM.
    pub device_public_key: String,
}
