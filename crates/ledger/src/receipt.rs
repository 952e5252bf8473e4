//! A receipt: everything needed to show, offline and for ever, that a record stands in the
//! registry.
//!
//! It has one form, the bytes of a file ([`file`]). In JSON it is those bytes in base64.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use birthmark_protocol::bytes::DecodeError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::block::Block;
use crate::certificate::CommitCertificate;
use crate::checkpoint::SignedCheckpoint;
use crate::handover::Handover;
use crate::header::{BlockHeader, Height};
use crate::label::ChainId;
use crate::merkle::{Frontier, InclusionProof, MerkleError, prove_in_block};
use crate::record::{Record, RecordError};
use crate::tlog_proof::TlogProof;
use crate::validators::{SetError, ValidatorId};

mod file;

pub use file::{ENDING, FIRST_LINE, RECEIPT_VERSION};

/// How many bytes a receipt may have.
pub const MAX_RECEIPT_BYTES: usize = 4 << 20;
/// How many changes of validators a receipt may show.
pub const MAX_LINKS: usize = 1000;

/// A record, its place in the tree, and the decision behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The registry's name. What counts is the genesis hash in the header.
    pub chain_id: ChainId,
    /// What is registered.
    pub record: Record,
    /// The validator that took the submission.
    pub submitter: ValidatorId,
    /// The record's place and the path from its leaf to the header's tree root.
    pub proof: InclusionProof,
    /// The block that holds the record.
    pub header: BlockHeader,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The block the camera had checked before it took the photo, if it names one after the
    /// genesis: both ends of the photo's time are then proven.
    pub anchor: Option<DecidedHeader>,
    /// Every change of validators between the genesis and this block, oldest first.
    pub handovers: Vec<Handover>,
}

/// A block's header and the decision on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedHeader {
    /// The header.
    pub header: BlockHeader,
    /// Who decided it.
    pub certificate: CommitCertificate,
}

/// Why a receipt cannot be cut or read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The block has no such record.
    #[error("the block has no record {0}")]
    NoRecord(u64),
    /// The anchor is not the block that the record names.
    #[error("the record's anchor is block {0:?}, which is not the one given")]
    Anchor(Option<Height>),
    /// The frontier does not belong before the block.
    #[error("the frontier does not lead to the block's tree root: {0}")]
    Frontier(MerkleError),
    /// Longer than any receipt.
    #[error("a receipt has at most {MAX_RECEIPT_BYTES} bytes")]
    TooLong,
    /// More of something than any receipt has.
    #[error("the receipt has too many {0}")]
    TooMany(&'static str),
    /// Not the JSON of a head.
    #[error("not the newest block: {0}")]
    Json(#[from] serde_json::Error),
    /// Something else than a receipt.
    #[error("this is no receipt: it does not begin like one")]
    Other,
    /// The layout is wrong.
    #[error("not a receipt: {0}")]
    Decode(#[from] DecodeError),
    /// The record is none.
    #[error("the receipt's record: {0}")]
    Record(#[from] RecordError),
    /// Validators that make no set.
    #[error("the receipt's validators: {0}")]
    Validators(#[from] SetError),
}

impl Receipt {
    /// Cuts the receipt of the record at `index` from its block and the frontier before that block.
    pub fn cut(
        chain_id: ChainId,
        block: &Block,
        certificate: CommitCertificate,
        before: &Frontier,
        index: u64,
        anchor: Option<DecidedHeader>,
        handovers: Vec<Handover>,
    ) -> Result<Self, ReceiptError> {
        let found = block.records().find(|(at, _, _)| *at == index);
        let (_, transaction, record) = found.ok_or(ReceiptError::NoRecord(index))?;
        let submitter = *transaction.submitter();
        let given = anchor.as_ref().map(|anchor| anchor.header.height);
        if given != needed_anchor(record) {
            return Err(ReceiptError::Anchor(record.anchor()));
        }
        let proof =
            prove_in_block(before, &block.leaf_hashes(), index).map_err(ReceiptError::Frontier)?;
        let leads = proof.verify(&record.leaf_hash(&submitter), &block.header.tree_root);
        leads.map_err(ReceiptError::Frontier)?;
        Ok(Self {
            chain_id,
            record: record.clone(),
            submitter,
            proof,
            header: block.header.clone(),
            certificate,
            anchor,
            handovers,
        })
    }

    /// The same proof as a text for verifiers of transparency logs, with the cosigned checkpoint of
    /// the same block.
    pub fn to_tlog_proof(&self, checkpoint: SignedCheckpoint) -> TlogProof {
        let leaf = self.record.leaf_bytes(&self.submitter);
        TlogProof {
            leaf,
            index: self.proof.index,
            path: self.proof.path.clone(),
            checkpoint,
        }
    }
}

/// The block whose header a receipt of this record must carry. The genesis has none.
pub fn needed_anchor(record: &Record) -> Option<Height> {
    record.anchor().filter(|height| *height > Height::GENESIS)
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(self.encode()))
    }
}

impl<'de> Deserialize<'de> for Receipt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let bytes = BASE64_STANDARD.decode(text.as_ref());
        Self::parse(&bytes.map_err(D::Error::custom)?).map_err(D::Error::custom)
    }
}
