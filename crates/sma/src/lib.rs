//! The manufacturer authority: it certifies cameras and says, without learning which photo, whether one of them stands
//! behind it.
//!
//! [`run`] serves; [`setup::found`] begins a new authority; [`command::program`] is the command line.

pub mod api;
pub mod attestation;
pub mod authority;
pub mod budget;
pub mod ca;
pub mod clock;
pub mod command;
pub mod device_key;
pub mod disk;
pub mod dump;
pub mod exchange;
pub mod journal;
pub mod judge;
pub mod keyring;
pub mod limits;
pub mod operators;
pub mod provision;
pub mod random;
pub mod registry;
pub mod revocation;
pub mod rotation;
pub mod rules;
pub mod settings;
pub mod setup;
pub mod store;
pub mod tables;
pub mod vault;

mod serve;

pub use serve::run;
pub use settings::Settings;
