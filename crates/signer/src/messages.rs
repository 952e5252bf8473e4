//! What the signer says over Varlink. The service and its clients share these types.

use serde::{Deserialize, Serialize};

/// Where the signing key lives. Named in every answer, so that nobody takes a development key for a chip's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStoreKind {
    /// In a TPM, which it cannot leave.
    Tpm,
    /// In a file of a development build.
    Software,
}

/// Who made the TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chip {
    /// The maker's short name.
    pub manufacturer: String,
    /// The maker's name for the chip.
    pub model: String,
    /// The firmware version.
    pub firmware: String,
}

/// The TPM's protection against guessed passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockout {
    /// Whether authorisations are refused now.
    pub locked: bool,
    /// Failed attempts so far.
    pub failures: u32,
    /// How many are allowed.
    pub allowed: u32,
    /// After how many seconds one failure is forgiven.
    pub recovery_seconds: u32,
}
