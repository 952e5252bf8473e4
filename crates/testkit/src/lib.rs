//! Fixtures for tests: TPM emulator, databases, daemons on free ports. Never published.

pub mod postgres;
pub mod tpm;
