//! A receipt: everything needed to show, offline and for ever, that a record stands in the registry.

use birthmark_protocol::bytes::DecodeError;
use birthmark_protocol::one_time::SpentKey;
use birthmark_protocol::{
    Bundle, Capture, Digest, DigestRole, ImageClaim, ModificationLevel, PixelSource, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::certificate::CommitCertificate;
use crate::checkpoint::SignedCheckpoint;
use crate::header::{BlockHeader, Height};
use crate::label::ChainId;
use crate::merkle::{Frontier, InclusionProof, MAX_PATH, MerkleError, prove_in_block};
use crate::record::{Origin, Record, RecordError};
use crate::tlog_proof::TlogProof;
use crate::validators::{ValidatorId, ValidatorSet};

/// How many bytes a receipt may have.
pub const MAX_RECEIPT_BYTES: usize = 4 << 20;
/// How many changes of validators a receipt may show.
pub const MAX_LINKS: usize = 1000;

/// A record, its place in the tree, and the decision behind it. Written and read as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Which receipt format this is.
    pub format: ReceiptFormat,
    /// The registry's name. What counts is the genesis hash in the header.
    pub chain_id: ChainId,
    /// What is registered.
    #[serde(with = "record_json")]
    pub record: Record,
    /// The validator that took the submission.
    pub submitter: ValidatorId,
    /// The record's place and the path from its leaf to the header's tree root.
    pub proof: InclusionProof,
    /// The block that holds the record.
    pub header: BlockHeader,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The block the camera had checked before it took the photo, if it names one after the genesis: both ends of the
    /// photo's time are then proven.
    pub anchor: Option<DecidedHeader>,
    /// Every change of validators between the genesis and this block, oldest first.
    pub sets: Vec<SetLink>,
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

/// The one format there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum ReceiptFormat {
    /// The first.
    #[default]
    #[serde(rename = "birthmark/receipt/v1")]
    V1,
}

/// A block whose validators handed over to others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLink {
    /// The last block of the old set.
    pub header: BlockHeader,
    /// The old set's decision.
    pub certificate: CommitCertificate,
    /// The new set.
    pub validators: ValidatorSet,
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
    /// Not the JSON of a receipt.
    #[error("not a receipt: {0}")]
    Json(#[from] serde_json::Error),
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
        sets: Vec<SetLink>,
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
            format: ReceiptFormat::V1,
            chain_id,
            record: record.clone(),
            submitter,
            proof,
            header: block.header.clone(),
            certificate,
            anchor,
            sets,
        })
    }

    /// The JSON text.
    pub fn to_json(&self) -> Result<String, ReceiptError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Reads the JSON text; unknown fields are refused. Nothing is verified yet.
    pub fn from_json(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::TooLong);
        }
        let receipt: Self = serde_json::from_str(text)?;
        if receipt.proof.path.len() > MAX_PATH {
            return Err(ReceiptError::TooMany("hashes in its path"));
        }
        if receipt.sets.len() > MAX_LINKS {
            return Err(ReceiptError::TooMany("changes of validators"));
        }
        Ok(receipt)
    }

    /// The same proof as a text for verifiers of transparency logs, with the cosigned checkpoint of the same block.
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

/// The readable form of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordJson {
    images: Vec<ImageJson>,
    time: Timestamp,
    gps: Option<Digest>,
    capture: Option<CaptureJson>,
    edited_from: Option<Digest>,
    origin: Origin,
    /// Only where the camera proved itself by a one-time key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_time_key: Option<SpentJson>,
}

/// The one-time key of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpentJson {
    epoch: u32,
    name: Digest,
}

/// What a camera of ours claims beside the digests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureJson {
    source: PixelSource,
    software: Option<Digest>,
    anchor: Option<u64>,
    disclosure: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageJson {
    digest: Digest,
    role: DigestRole,
    level: ModificationLevel,
    parent: Option<Digest>,
}

impl From<&Record> for RecordJson {
    fn from(record: &Record) -> Self {
        let image = |image: &ImageClaim| {
            let ImageClaim {
                digest,
                role,
                level,
                parent,
            } = *image;
            ImageJson {
                digest,
                role,
                level,
                parent,
            }
        };
        Self {
            images: record.images().iter().map(image).collect(),
            time: record.time(),
            gps: record.gps(),
            capture: record.bundle().capture().map(|capture| CaptureJson {
                source: capture.source,
                software: capture.software,
                anchor: capture.anchor,
                disclosure: capture.disclosure,
            }),
            edited_from: record.edited_from(),
            origin: record.origin().clone(),
            one_time_key: record.spent().map(|spent| SpentJson {
                epoch: spent.epoch,
                name: spent.name,
            }),
        }
    }
}

impl TryFrom<RecordJson> for Record {
    type Error = RecordError;

    fn try_from(json: RecordJson) -> Result<Self, RecordError> {
        let image = |ImageJson {
                         digest,
                         role,
                         level,
                         parent,
                     }| ImageClaim {
            digest,
            role,
            level,
            parent,
        };
        let images = json.images.into_iter().map(image).collect();
        let bundle = match json.capture {
            None => Bundle::new(images, json.time, json.gps)?,
            Some(_) if json.gps.is_some() => return Err(DecodeError::Value("gps").into()),
            Some(capture) => {
                let capture = Capture {
                    source: capture.source,
                    software: capture.software,
                    anchor: capture.anchor,
                    disclosure: capture.disclosure,
                };
                Bundle::captured(images, json.time, capture)?
            }
        };
        let spent = json
            .one_time_key
            .map(|SpentJson { epoch, name }| SpentKey { epoch, name });
        Self::read(bundle, json.edited_from, json.origin, spent)
    }
}

mod record_json {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Record, RecordJson};

    pub(super) fn serialize<S: Serializer>(record: &Record, to: S) -> Result<S::Ok, S::Error> {
        RecordJson::from(record).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Record, D::Error> {
        RecordJson::deserialize(from)?
            .try_into()
            .map_err(D::Error::custom)
    }
}
