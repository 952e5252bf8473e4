//! Raw frames from a video device, by the kernel's own interface (V4L2, memory-mapped streaming).
//!
//! Only what a still camera needs: choose a format, keep the device streaming, and copy out the
//! first frame that was exposed after it was asked for. The driver's memory is mapped read-only and
//! copied before the buffer goes back, so no caller ever holds memory the driver writes to.

mod device;
mod kernel;
mod source;

pub use source::Video;
