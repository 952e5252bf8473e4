//! How a camera becomes one of ours: its key, its chip, its certificate.

pub mod attestation;
pub mod ca;
pub mod device_key;
pub mod one_time;
pub mod provision;
pub mod renewal;
mod rotation;
