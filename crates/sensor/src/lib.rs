//! What every camera delivers, whatever it is made of.
//!
//! The capture daemon reads frames through [`RawSource`]. Three crates implement it side by side:
//! `camera-v4l2` (a video device of the kernel), `camera-libcamera` (a Raspberry Pi's camera) and
//! `camera-simulated` (a painted scene, for rehearsals and tests only).
//!
//! This crate touches no device, and hashes a frame but signs nothing.

pub mod clock;
pub mod colour;
mod exposure;
mod frame;
mod layout;
mod picture;
mod source;

pub use exposure::{ClockQuality, Exposure, Matrix, Moment};
pub use frame::{
    BIT_DEPTH, CfaOrder, FrameError, RawFrame, WHITE_LEVEL, check_size, pack_row, unpack_row,
};
pub use layout::Layout;
pub use picture::Picture;
pub use source::{FixedExposure, RawSource, Shot, SourceError, Subject};
