//! The validator node: takes proofs from cameras, asks their authorities, agrees on blocks, answers
//! anyone.

pub mod admission;
pub mod authorities;
pub mod authority;
pub mod changes;
pub mod clock;
pub mod commands;
mod contradictions;
pub mod disk;
pub mod filter;
mod guard;
pub mod http;
pub mod identity;
pub mod index;
pub mod journal;
pub mod list_numbers;
pub mod lookup_key;
pub mod metrics;
pub mod network;
mod node_lock;
pub mod production;
pub mod pulse;
pub mod registry;
pub mod row_keys;
mod run;
pub mod settings;
pub mod setup;
mod signatures;
mod standing;
pub mod store;
pub mod witness;

pub use guard::Guard;
pub use network::LINKS_SOCKET;
pub use run::{HTTP_SOCKET, run};
pub use settings::Settings;

/// The command line of `birthmark-node`: the daemon and the operator's commands.
pub fn program() -> birthmark_daemon::Program<Settings> {
    commands::add(birthmark_daemon::Program::new(
        "A Birthmark validator: registers proofs of photos and answers who asks",
    ))
}
