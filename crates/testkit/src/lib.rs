//! Fixtures for tests: TPM emulator, databases, daemons on free ports. Never published.

pub mod tpm;
