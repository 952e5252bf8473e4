//! Fixtures for tests: TPM emulator, databases, daemons on free ports. Never published.

pub mod postgres;
mod running;
pub mod tpm;

pub use running::Running;
