//! From samples to a picture (demosaic, white balance, colours, sRGB), and from a picture to a
//! JPEG.

mod demosaic;
mod jpeg;

pub use demosaic::demosaic;
pub use jpeg::{JpegError, encode_jpeg, thumbnail};
