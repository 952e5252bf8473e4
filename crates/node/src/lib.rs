//! The validator node: takes proofs from cameras, asks their authorities, agrees on blocks, answers anyone.

pub mod filter;
pub mod registry;
pub mod settings;
pub mod store;

pub use settings::Settings;
