//! The signer at its real interfaces: an emulated TPM, real files, the real binary on a real
//! socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod attestation;
mod authority;
mod bad_files;
mod bus;
mod chip;
mod daemon;
mod hosted;
mod key_stores;
mod linking;
mod one_time;
mod renewal;
mod running;
mod strangers;
