//! The ledger as its users see it: blocks made, judged, certified, proven, and every way to cheat
//! refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod blocks;
mod budget;
mod checkpoints;
mod encodings;
mod epochs;
mod index;
mod index_vectors;
mod outlines;
mod parts;
mod receipt_files;
mod receipts;
mod validators;
mod vectors;
mod witnesses;
mod world;
