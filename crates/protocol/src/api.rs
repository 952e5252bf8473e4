//! What travels over the HTTP interfaces of validators and authorities, written once for servers
//! and clients.
//!
//! Servers write these types, clients read them. A reader ignores fields it does not know and does
//! without those that an older server leaves out; what it cannot do without has no default here,
//! and its absence is an error.

mod authority;
mod error;
mod validator;

pub use authority::{
    AuthorityHealth, BatchItem, BatchValidation, CredentialAnswer, EpochStatements,
    EvidenceRequest, Nonce, RenewalRequest, Renewed, Validation, VerdictKeyAnswer, VerdictKeys,
};
pub use error::{Detail, ErrorBody, FieldProblem};
pub use validator::{
    Accepted, CaptureView, ChangeTaken, Fate, Finding, Findings, MemberStatus, Notice, Notices,
    Question, Sighting, Stage, Status, ValidatorHealth, WitnessStatus,
};
