//! How validators agree on the next block.
//!
//! The node gives this crate an [`Application`]: a durable pool of transactions that all validators
//! share, and a store that takes a decided block in one database transaction. Two drivers take the
//! same steps over it ([`propose`], [`judge`], [`validate`], [`cosign`]):
//!
//! - [`SingleValidator`] for a registry of one institution. Nobody has to be asked, so it needs no
//!   rounds, no log of votes and no second signature a block; this keeps the speed that one machine
//!   has.
//! - [`Agreement`] for a network: Tendermint's rules by an engine whose types stay in a private
//!   module, over links and a store that the node brings ([`Links`], [`Shared`]).
//!
//! Time is an argument everywhere; nothing here reads a clock. Nothing here asks an authority: what
//! an authority said travels beside a proposal as [`Evidence`], is checked before the vote and
//! never stored with the block.

pub mod agreement;
pub mod application;
pub mod bare;
mod engine;
pub mod evidence;
pub mod message;
pub mod misbehaviour;
pub mod pacing;
pub mod proposal;
pub mod single;
mod wal;

pub use agreement::{
    Agreement, AgreementError, Clock, Links, MemberState, Membership, Moment, NetworkState,
    OpenError, Timing, Votes,
};
pub use application::{Application, Backlog, Cosigned, Decided, Offer, Shared};
pub use bare::BareProposal;
pub use evidence::{
    Authorities, CameraSigned, CheckedBefore, Evidence, EvidenceError, RequestBody, Vouching,
};
pub use message::Message;
pub use misbehaviour::Misbehaviour;
pub use pacing::{Due, Pacer, Pacing};
pub use proposal::{
    Proposal, ProposalFormatError, ProposeError, Refusal, cosign, judge, propose, validate,
};
pub use single::{SingleValidator, Step, StepError, ValidatorKeys, is_of};
