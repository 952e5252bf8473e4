//! The validator node: takes proofs from cameras, asks their authorities, agrees on blocks, answers anyone.

pub mod admission;
pub mod authorities;
pub mod authority;
pub mod clock;
pub mod commands;
pub mod filter;
pub mod http;
pub mod identity;
pub mod index;
pub mod journal;
pub mod metrics;
mod node;
pub mod production;
pub mod registry;
pub mod settings;
pub mod setup;
mod signatures;
pub mod store;
pub mod words;

pub use node::{HTTP_SOCKET, run};
pub use settings::Settings;

/// The command line of `birthmark-node`: the daemon and the operator's commands.
pub fn program() -> birthmark_daemon::Program<Settings> {
    commands::add(birthmark_daemon::Program::new(
        "A Birthmark validator: registers proofs of photos and answers who asks",
    ))
}
