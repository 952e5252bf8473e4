//! Making blocks alone, over an application whose memory can fail at any moment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod byzantine;
mod evidence;
mod failures;
mod library;
mod messages;
mod network;
mod one_time;
mod pacing;
mod production;
