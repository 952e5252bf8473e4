//! The camera: from the sensor's bytes to a photo whose proof will arrive.
//!
//! One photo passes through the rooms of this crate: a source delivers a frame
//! ([`birthmark_sensor`]), the [`darkroom`] hashes and develops
//! it, the [`signer`] stands behind it, the [`queue`] keeps the proof, the [`album`] the files, and [`submit`] gets the proof
//! to a validator and the receipt back. [`studio`] has the order in which all that happens; [`Capture`] is what others call.
//!
//! The crate does not know the camera's keys, and never opens the TPM.

pub mod album;
pub mod calibrate;
pub mod camera;
pub mod client;
pub mod darkroom;
pub mod develop;
pub mod dng;
pub mod exif;
pub mod lamp;
pub mod messages;
mod opener;
pub mod panel;
pub mod place;
pub mod queue;
pub mod registry;
#[cfg(feature = "rehearsal")]
mod replay;
mod run;
mod service;
pub mod settings;
pub mod sidecar;
pub mod signer;
pub mod studio;
pub mod submit;
mod tag;
pub mod tiff;
pub mod timeline;

pub use opener::{OpenLibcamera, no_libcamera};
pub use run::{assemble, run, run_with};
pub use service::{Capture, told};
pub use settings::CaptureSettings;
