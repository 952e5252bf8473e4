//! Sensor, hashing, developing, files, durable queue, submission.

pub mod clock;
pub mod develop;
pub mod dng;
pub mod exif;
pub mod exposure;
pub mod frame;
pub mod source;
pub mod tiff;
pub mod timeline;
