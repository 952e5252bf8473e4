//! Sole owner of the camera's TPM: enrols, seals, signs, issues tokens.
//!
//! The signing key never leaves the chip and the master keys never leave this process. It signs
//! what it has parsed: a caller hands over a bundle, and this daemon rebuilds the bytes and their
//! digest itself. It is no general signing service, and it knows nothing of files, networks or
//! photos.

pub mod client;
pub mod messages;
pub mod provisioning;
pub mod settings;
#[cfg(feature = "tpm")]
pub mod tpm;

mod blob;
mod camera;
mod error;
mod keeper;
mod key_store;
mod run;
mod secrets;
mod service;
#[cfg(feature = "software-keys")]
mod software;
mod state;
mod text;
mod vault;
mod wallet;

pub use blob::Blob;
pub use client::{SignedBundle, SignerCallError, SignerClient};
pub use messages::{KeyStoreKind, SignerRefusal, StatusReply};
pub use run::run;
pub use settings::{SignerSettings, TpmSettings};
