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
    /// The validators' lines under the checkpoint of the tree after it, as far as they are known
    /// here.
    pub checkpoint_lines: Vec<NoteSignature>,
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
        let lines = stored.checkpoint_lines.as_deref();
        let checkpoint_lines = lines
            .map_or_else(|| Ok(Vec::new()), read_lines)
            .map_err(damaged)?;
        Ok(Self {
            block,
            bytes: stored.body,
            certificate,
            frontier,
            checkpoint_lines,
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

/// Each line as name, key id and signature, apart from each other by one space.
pub(super) fn written_lines(lines: &[NoteSignature]) -> Option<Vec<u8>> {
    let written = |line: &NoteSignature| {
        let NoteSignature {
            name,
            key_id,
            signature,
        } = line;
        format!("{name} {} {}", hex::encode(key_id), hex::encode(signature))
    };
    let lines: Vec<_> = lines.iter().map(written).collect();
    (!lines.is_empty()).then(|| lines.join("\n").into_bytes())
}

fn read_lines(lines: &[u8]) -> Result<Vec<NoteSignature>, String> {
    let unreadable = |_| "its lines under the checkpoint cannot be read".to_owned();
    let text = std::str::from_utf8(lines).map_err(|_| unreadable(()))?;
    let read = text.split('\n').map(|line| read_line(line).ok_or(()));
    read.collect::<Result<_, _>>().map_err(unreadable)
}

fn read_line(line: &str) -> Option<NoteSignature> {
    let parts: Vec<_> = line.split(' ').collect();
    let [name, key_id, signature] = <[&str; 3]>::try_from(parts).ok()?;
    let mut id = [0; 4];
    hex::decode_to_slice(key_id, &mut id).ok()?;
    Some(NoteSignature {
        name: name.to_owned(),
        key_id: id,
        signature: hex::decode(signature).ok()?,
    })
}
