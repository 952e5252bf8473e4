//! The camera: from the sensor's bytes to a photo whose proof will arrive.
//!
//! One photo passes through the rooms of this crate. In `shutter` a source delivers a frame
//! ([`birthmark_sensor`]) and [`studio`] has the order in which everything else happens; in `files`
//! the [`darkroom`] hashes and develops it; in `keep` the [`queue`] holds the proof and the
//! [`album`] the files; in `send` the [`signer`] is asked for a signature, and [`submit`] gets the
//! proof to a validator and the receipt back; `face` is what others see, above all [`Capture`].
//!
//! The crate does not know the camera's keys, and never opens the TPM.

pub mod calibrate;
mod face;
mod files;
mod keep;
pub mod place;
mod run;
mod send;
pub mod settings;
mod shutter;

pub use face::service::{Capture, told};
pub use face::{client, lamp, messages, panel};
pub use files::{darkroom, develop, dng, exif, tiff};
pub use keep::{album, queue, sidecar};
pub use run::{assemble, run, run_with};
pub use send::{registry, signer, submit};
pub use settings::CaptureSettings;
pub use shutter::opener::{OpenLibcamera, no_libcamera};
pub use shutter::{camera, studio, timeline};
