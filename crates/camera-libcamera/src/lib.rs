//! Raw and developed frames from a camera of libcamera: both streams in one request, so that they
//! show the same instant.
//!
//! Buffers come from a heap with cached memory, as reading uncached memory is many times slower
//! than hashing it; each is synchronised with the device before and after it is read, as else stale
//! cache lines would give a wrong digest.

mod camera;
mod heap;
mod source;

pub use source::open;
