//! The ledger: what validators agree on, what is stored for decades, and what a receipt is cut
//! from.
//!
//! A [`Record`] is one vouched submission: every digest of one photo. A validator signs a batch of
//! records as one [`Transaction`]; a [`Block`] holds transactions; every leaf of the registry's one
//! append-only Merkle tree is one record. More than two thirds of the validators sign each block
//! ([`CommitCertificate`]); a [`Receipt`] joins record, path, header and certificate, and
//! [`verify_receipt`] checks it against nothing but the genesis file.
//!
//! This crate does no I/O, reads no clock, draws no randomness and uses no floating point: the same
//! bytes give the same answer on every machine, in every year, and in a browser. Nothing here can
//! name a camera: no token, certificate, commitment or opening has a place in these formats.

pub mod block;
pub mod builder;
pub mod certificate;
pub mod change;
pub mod checkpoint;
pub mod epochs;
pub mod fault;
pub mod genesis;
pub mod handover;
pub mod head;
pub mod header;
pub mod index;
pub mod keys;
pub mod label;
pub mod merkle;
pub mod note;
pub mod outline;
pub mod part;
mod policy;
pub mod receipt;
pub mod record;
pub mod rules;
mod serial;
pub mod signatures;
pub mod tip;
pub mod tlog_proof;
pub mod transaction;
pub mod validators;
mod varint;
pub mod verify;
pub mod vote;
pub mod witness;

pub use birthmark_protocol::Source;
pub use birthmark_protocol::one_time::SpentKey;
pub use block::{Block, Lookups};
pub use builder::{BlockBuilder, NotAdded};
pub use certificate::{CertificateError, CommitCertificate};
pub use change::{ChangeError, SetChange};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use epochs::{Epochs, KeyFault, StatementFault};
pub use fault::{BlockError, TransactionFault};
pub use genesis::{Genesis, GenesisError};
pub use handover::{Handover, SetLink};
pub use head::{Head, HeadFormat};
pub use header::{BlockHeader, BlockTime, Height, IndexRoot};
pub use index::{IndexFollower, IndexKey, IndexTree};
pub use keys::{CheckpointKey, CheckpointPublicKey, SigningError, VoteKey, VoteSigner};
pub use label::{ChainId, KeyName, Label, LabelError};
pub use merkle::{ConsistencyProof, Frontier, InclusionProof, MerkleError, Node, ProofPlan};
pub use note::{NoteError, SignedNote};
pub use outline::{Excerpt, Outline};
pub use part::{HeadersPart, PartError, RecordsPart};
pub use receipt::{DecidedHeader, Receipt, ReceiptError, needed_anchor};
pub use record::{Origin, Record, RecordError};
pub use rules::Rules;
pub use signatures::{QuorumError, SetSignature};
pub use tip::{Known, Tip};
pub use tlog_proof::TlogProof;
pub use transaction::{Transaction, TransactionError, TransactionHash};
pub use validators::{SetError, Validator, ValidatorId, ValidatorSet, quorum};
pub use verify::{Trusted, Verified, VerifyError, verify_head, verify_receipt};
pub use vote::{Vote, VoteKind};
