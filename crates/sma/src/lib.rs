//! The manufacturer authority: it certifies cameras and says, without learning which photo, whether
//! one of them stands behind it.
//!
//! [`run`] serves; [`setup::found`] begins a new authority; [`command::program`] is the command
//! line. The rooms: `issue` certifies, `judge` answers questions, `keep` stores, `tell` speaks
//! HTTP.

pub mod authority;
pub mod clock;
pub mod command;
pub mod random;
pub mod settings;
pub mod setup;

mod issue;
mod judge;
mod keep;
mod run;
mod tell;

pub use issue::ca;
pub use judge::tables;
pub use keep::{audit, keyring, store, vault};
pub use run::run;
pub use settings::Settings;
pub use tell::api;
