//! The newest block, as a camera checks it before it anchors photos to it.
//!
//! A head is a receipt about no photo: the header, the decision behind it, and every change of
//! validators in between. Whoever serves it cannot invent a block, only hold back a newer one.

use serde::{Deserialize, Serialize};

use crate::certificate::CommitCertificate;
use crate::handover::SetLink;
use crate::header::BlockHeader;
use crate::label::ChainId;
use crate::receipt::{MAX_LINKS, MAX_RECEIPT_BYTES, ReceiptError};

/// A decided block and what leads to the validators that decided it. Written and read as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Which format this is.
    pub format: HeadFormat,
    /// The registry's name. What counts is the genesis hash in the header.
    pub chain_id: ChainId,
    /// The block's header.
    pub header: BlockHeader,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The changes of validators before this block that the reader does not know yet, oldest first.
    pub sets: Vec<SetLink>,
}

/// The one format there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum HeadFormat {
    /// The first.
    #[default]
    #[serde(rename = "birthmark/head/v1")]
    V1,
}

impl Head {
    /// Reads the JSON text; unknown fields are refused. Nothing is verified yet.
    pub fn from_json(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::TooLong);
        }
        let head: Self = serde_json::from_str(text)?;
        match head.sets.len() > MAX_LINKS {
            true => Err(ReceiptError::TooMany("changes of validators")),
            false => Ok(head),
        }
    }
}
