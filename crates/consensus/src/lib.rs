//! How validators agree on the next block.
//!
//! The node gives this crate an [`Application`]: a durable pool of transactions that all validators share, and a store that
//! takes a decided block in one database transaction. What drives it is here: [`SingleValidator`] for a registry of one
//! institution, which proposes, judges, votes with its own key and commits through the very steps that a network of
//! validators takes ([`propose`], [`judge`], [`cosign`]; for the proposals of others [`validate`]).
//!
//! Time is an argument everywhere; nothing here reads a clock. Nothing here asks an authority: what an authority said
//! travels beside a proposal as [`Evidence`], is checked before the vote and never stored with the block.

pub mod application;
pub mod evidence;
pub mod pacing;
pub mod proposal;
pub mod single;

pub use application::{Application, Backlog, Decided, Offer};
pub use evidence::{Authorities, CameraSigned, Evidence, EvidenceError, Vouching};
pub use pacing::{Due, Pacing};
pub use proposal::{Proposal, ProposeError, Refusal, cosign, judge, propose, validate};
pub use single::{SingleValidator, Step, StepError, ValidatorKeys, is_of};
