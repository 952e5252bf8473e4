//! Fixtures for tests: TPM emulator, databases, daemons on free ports. Never published.

pub mod browser;
pub mod demonstration;
pub mod postgres;
mod running;
pub mod tpm;

pub use browser::{Browser, Window};
pub use demonstration::Demonstration;
pub use running::Running;
