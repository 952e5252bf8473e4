//! The authority's stories, told over HTTP with real databases, real certificates and a real TPM
//! emulator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod attested;
mod camera;
mod stand;

mod abuse;
mod audit;
mod browser;
mod certificates;
mod commands;
mod control;
mod exchange;
mod input;
mod lists;
mod network;
mod one_time;
mod operators;
mod pages;
mod plan;
mod revocation;
mod together;
mod trouble;
mod trust;
