//! The validator's stories, told over HTTP with a real authority, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod authority;
mod blocks;
mod camera;
mod mint;
mod process;
mod world;

mod abuse;
mod attacks;
mod bad_input;
mod bounds;
mod browser;
mod budgets;
mod crowd;
mod custody;
mod edits;
mod endpoints;
mod expiry;
mod families;
mod flows;
mod foreign;
mod forgotten;
mod index;
mod journal;
mod kill;
mod lists;
mod lookups;
mod members;
mod network;
mod one_time;
mod operator;
mod outage;
mod overlap;
mod pages;
mod situations;
mod store;
mod stumbling;
mod tokens;
mod witnesses;
