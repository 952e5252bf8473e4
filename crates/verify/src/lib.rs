//! What can be known about a photo, decided once for the command, the page and whoever builds on
//! either.
//!
//! A file becomes [`FileDigests`]; a validator says which of them it holds a record of; the
//! record's receipt is checked against a genesis ([`judge()`]); what holds becomes a [`Card`]:
//! headline, sentence to quote, limits. A validator's word alone never becomes a headline that says
//! registered.
//!
//! Nothing here reads files, asks networks or looks at a clock. It runs in a browser as on a
//! server.

pub mod answer;
pub mod audit;
pub mod card;
pub mod family;
pub mod judge;
pub mod kept;
pub mod metadata;
pub mod private;
pub mod proof;
pub mod sentences;
pub mod sighted;
pub mod subject;
#[cfg(test)]
mod vectors;

pub use card::{Card, Tone};
pub use judge::{Fetched, Judged, judge};
pub use kept::Kept;
pub use metadata::Metadata;
pub use proof::{CheckError, Proof, check};
pub use sighted::Sighted;
pub use subject::{FileDigest, FileDigests, FileHasher, FileKind};
