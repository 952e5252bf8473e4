//! Sole owner of the TPM: enrol, seal, sign, issue tokens.

pub mod messages;
mod text;
#[cfg(feature = "tpm")]
pub mod tpm;
