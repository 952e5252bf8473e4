//! A block as it comes out of the store, read.

use birthmark_ledger::block::BlockFormatError;
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{Block, BlockHeader, CommitCertificate, Frontier, MerkleError, Outline};
use birthmark_protocol::bytes::DecodeError;

use super::RegistryError;
use crate::store::StoredBlock;

/// A stored block, read.
#[derive(Debug)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Who decided it.
    pub certificate: CommitCertificate,
    /// The right edge of the tree after it.
    pub frontier: Frontier,
    /// This validator's line under the checkpoint of the tree after it.
    pub cosignature: Option<NoteSignature>,
}

impl Decided {
    pub(super) fn read(stored: StoredBlock) -> Result<Self, RegistryError> {
        let damaged = |reason: String| RegistryError::Damaged {
            height: stored.height,
            reason,
        };
        let block = Block::parse(&stored.body)
            .map_err(|error: BlockFormatError| damaged(error.to_string()))?;
        let certificate = certificate_of(stored.height, &stored.certificate, &block.header)?;
        let frontier = Frontier::parse(&stored.frontier)
            .map_err(|error: MerkleError| damaged(error.to_string()))?;
        let cosignature = stored
            .cosignature
            .as_deref()
            .map(read_cosignature)
            .transpose()
            .map_err(damaged)?;
        Ok(Self {
            block,
            bytes: stored.body,
            certificate,
            frontier,
            cosignature,
        })
    }
}

/// Reads only where a stored block's records stand.
pub(super) fn outline(stored: StoredBlock) -> Result<Outline, RegistryError> {
    let StoredBlock {
        height,
        body,
        certificate,
        ..
    } = stored;
    let outline =
        Outline::parse(body).map_err(|error: BlockFormatError| RegistryError::Damaged {
            height,
            reason: error.to_string(),
        })?;
    certificate_of(height, &certificate, outline.header())?;
    Ok(outline)
}

/// The certificate beside a block, which must be this block's.
fn certificate_of(
    height: u64,
    certificate: &[u8],
    header: &BlockHeader,
) -> Result<CommitCertificate, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged { height, reason };
    let certificate = CommitCertificate::parse(certificate)
        .map_err(|error: DecodeError| damaged(error.to_string()))?;
    if header.height.get() != height || certificate.block != header.hash() {
        return Err(damaged(
            "it stands at another height or under another block's certificate".into(),
        ));
    }
    Ok(certificate)
}

/// Name, key id and signature, apart from each other by one space.
pub(super) fn cosignature_line(cosignature: &NoteSignature) -> Option<Vec<u8>> {
    if cosignature.signature.is_empty() {
        return None;
    }
    let NoteSignature {
        name,
        key_id,
        signature,
    } = cosignature;
    Some(format!("{name} {} {}", hex::encode(key_id), hex::encode(signature)).into_bytes())
}

fn read_cosignature(line: &[u8]) -> Result<NoteSignature, String> {
    let unreadable = || "its cosignature cannot be read".to_owned();
    let text = std::str::from_utf8(line).map_err(|_| unreadable())?;
    let [name, key_id, signature] = text
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| unreadable())?;
    let mut id = [0; 4];
    hex::decode_to_slice(key_id, &mut id).map_err(|_| unreadable())?;
    let signature = hex::decode(signature).map_err(|_| unreadable())?;
    Ok(NoteSignature {
        name: name.to_owned(),
        key_id: id,
        signature,
    })
}
