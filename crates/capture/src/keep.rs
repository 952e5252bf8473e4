//! What lies on the disk: photos, what is said about them, and the proofs that have not arrived.

pub mod album;
pub mod queue;
pub mod sidecar;
