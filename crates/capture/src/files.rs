//! The files of a photo, and the digests of their bytes.

pub mod darkroom;
pub mod develop;
pub mod dng;
pub mod exif;
pub(crate) mod tag;
pub mod tiff;
