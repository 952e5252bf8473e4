//! A camera from the shutter to the receipt, with everything that can go wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod anchor;
mod card;
mod certificate;
mod files;
mod photo;
mod place;
mod power;
mod receipts;
mod registry;
mod signing;
mod trouble;
mod validators;
mod world;
