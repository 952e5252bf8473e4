//! What the `birthmark` command is made of, and what the demonstration uses of it.
#![allow(clippy::print_stdout, reason = "printing is what the command is for")]

pub mod camera;
pub mod demonstration;
pub mod digests;
pub mod disclose;
pub mod edit;
pub mod mirror;
pub mod old_settings;
pub mod options;
pub mod pipe;
pub mod receipt;
pub mod report;
pub mod terminal;
pub mod verify;
