//! Asking the manufacturers' authorities about commitments, for as long as it takes.
//!
//! An authority that is away is not a refusal: submissions wait in the database, for days if need
//! be. A FAIL is final, an error is not. Nothing but commitments, tokens and certificates leaves
//! this node.

mod answers;
mod client;
pub mod epochs;
mod pace;
mod portion;
mod progress;
mod report;
pub mod revocations;
mod settle;
mod worker;

pub use client::{Answer, AskError, AuthorityClient, Verdicts};
pub use pace::Standing;
pub use report::LaneReport;
pub use settle::Settler;
pub use worker::Lane;
