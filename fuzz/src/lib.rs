//! What every fuzz target does with its input: read it, and if it reads, hold what was read against
//! what was given.
//!
//! A target fails by a panic. Reading must never panic; what our own formats read must be written
//! back byte for byte; what is read in several pieces must be what is read in one.

mod ledger;
mod pictures;
mod protocol;

pub use ledger::{block, index, notes, receipt, transaction, validators};
pub use pictures::{image_data, png};
pub use protocol::{
    attestation, authority_request, bundle, certificate, disclosure, edit, gps, json, keys, nuc,
    one_time, submission, token, verdict,
};
