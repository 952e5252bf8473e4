//! The validator node: takes proofs from cameras, asks their authorities, agrees on blocks, answers anyone.

pub mod admission;
pub mod authorities;
pub mod authority;
pub mod clock;
mod command;
pub mod commands;
pub mod filter;
pub mod http;
pub mod identity;
pub mod metrics;
mod node;
pub mod production;
pub mod registry;
pub mod settings;
pub mod setup;
mod signatures;
pub mod store;
pub mod words;

pub use command::program;
pub use node::{HTTP_SOCKET, run};
pub use settings::Settings;
