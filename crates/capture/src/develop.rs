//! From samples to a picture: demosaic, white balance, colours, sRGB, JPEG.

pub mod colour;
mod demosaic;
mod jpeg;

pub use demosaic::{Picture, demosaic};
pub use jpeg::{JpegError, encode_jpeg, thumbnail};
