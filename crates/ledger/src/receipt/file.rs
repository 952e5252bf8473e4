//! A receipt as one small file, `photo.jpg.birthmark`: everything that proves a record, without a
//! network and for ever.
//!
//! What one part says of another is written once: the path's tree is the header's, a certificate
//! decides the header beside it, and every header belongs to the registry that is named first.
//!
//! ```text
//! …        the line "Birthmark receipt. To read it: birthmark receipt show FILE\n"
//! u8       1
//! text     chain id
//! 32       chain: the genesis hash
//! varint   length of the leaf, then the leaf: the record and who submitted it
//! varint   index of the record in the registry
//! u8       number of hashes in its path (0–64), then 32 bytes each, the leaf's sibling first
//! decided  the block that holds the record
//! u8       0, or 1 and decided: the block that the record is anchored to
//! varint   number of handovers (0–1,000), oldest first, each: decided, who left and who joined ([`Handover`])
//!
//! decided  varint height ‖ 32 previous ‖ i64 time ‖ 32 proposer ‖ varint records ‖ varint leaves ‖ 32 tree root
//!          ‖ 32 transactions root ‖ 32 validators ‖ u8 0 if the next validators are the same, or 1 and 32
//!          ‖ varint index height ‖ 32 index root ‖ varint round ‖ signatures, as in a certificate
//! ```

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use super::{DecidedHeader, MAX_LINKS, MAX_RECEIPT_BYTES, Receipt, ReceiptError};
use crate::certificate::CommitCertificate;
use crate::handover::Handover;
use crate::header::{BlockHeader, BlockTime, Height};
use crate::label;
use crate::merkle::{InclusionProof, MAX_PATH};
use crate::record::Record;
use crate::signatures;
use crate::validators::ValidatorId;
use crate::varint;

/// How every receipt begins, so that whoever opens it as text learns what it is.
pub const FIRST_LINE: &[u8] = b"Birthmark receipt. To read it: birthmark receipt show FILE\n";
/// The version of the encoding this program writes.
pub const RECEIPT_VERSION: u8 = 1;
/// How the file is called: the photo's whole name and this.
pub const ENDING: &str = "birthmark";
/// The longest leaf: eight digests with parents, three short texts, and room.
const MOST_LEAF: usize = 4096;

impl Receipt {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FIRST_LINE.to_vec();
        out.push(RECEIPT_VERSION);
        self.chain_id.put(&mut out);
        out.extend(self.header.chain.as_bytes());
        let leaf = self.record.leaf_bytes(&self.submitter);
        varint::put(&mut out, leaf.len() as u64);
        out.extend(leaf);
        varint::put(&mut out, self.proof.index);
        varint::put(&mut out, self.proof.path.len() as u64);
        out.extend(self.proof.path.iter().flat_map(|hash| *hash.as_bytes()));
        put_decided(&mut out, &self.header, &self.certificate);
        out.push(u8::from(self.anchor.is_some()));
        if let Some(anchor) = &self.anchor {
            put_decided(&mut out, &anchor.header, &anchor.certificate);
        }
        varint::put(&mut out, self.handovers.len() as u64);
        for handover in &self.handovers {
            put_decided(&mut out, &handover.header, &handover.certificate);
            handover.put_changes(&mut out);
        }
        out
    }

    /// Reads exactly one receipt. Nothing is verified yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::TooLong);
        }
        let rest = bytes.strip_prefix(FIRST_LINE).ok_or(ReceiptError::Other)?;
        let mut reader = Reader::new(rest);
        let version = reader.byte("version")?;
        if version != RECEIPT_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let chain_id = label::take(&mut reader, "chain id")?;
        let chain = Digest::from_bytes(reader.array("chain")?);
        let length = varint::take_count(&mut reader, 0, MOST_LEAF, "length of the record")?;
        let (record, submitter) = Record::parse_leaf(reader.slice(length, "record")?)?;
        let index = varint::take(&mut reader, "index")?;
        let steps = varint::take_count(&mut reader, 0, MAX_PATH, "length of the path")?;
        let path = (0..steps).map(|_| Ok(Digest::from_bytes(reader.array("path")?)));
        let path = path.collect::<Result<Vec<_>, DecodeError>>()?;
        let DecidedHeader {
            header,
            certificate,
        } = take_decided(&mut reader, chain)?;
        let anchor = match reader.flag("anchor")? {
            true => Some(take_decided(&mut reader, chain)?),
            false => None,
        };
        let count = varint::take_count(&mut reader, 0, MAX_LINKS, "number of handovers")?;
        let mut handovers = Vec::new();
        for _ in 0..count {
            let DecidedHeader {
                header,
                certificate,
            } = take_decided(&mut reader, chain)?;
            let (left, joined) = Handover::take_changes(&mut reader)?;
            handovers.push(Handover {
                header,
                certificate,
                left,
                joined,
            });
        }
        reader.end()?;
        let size = header.tree_size;
        Ok(Self {
            chain_id,
            record,
            submitter,
            proof: InclusionProof { index, size, path },
            header,
            certificate,
            anchor,
            handovers,
        })
    }
}

fn put_decided(out: &mut Vec<u8>, header: &BlockHeader, certificate: &CommitCertificate) {
    varint::put(out, header.height.get());
    out.extend(header.previous.as_bytes());
    out.extend(header.time.millis().to_be_bytes());
    out.extend(header.proposer.as_bytes());
    varint::put(out, header.records.into());
    varint::put(out, header.tree_size);
    out.extend(header.tree_root.as_bytes());
    out.extend(header.transactions_root.as_bytes());
    out.extend(header.validators_hash.as_bytes());
    let hands_over = header.next_validators_hash != header.validators_hash;
    out.push(u8::from(hands_over));
    if hands_over {
        out.extend(header.next_validators_hash.as_bytes());
    }
    varint::put(out, header.index_height.get());
    out.extend(header.index_root.as_bytes());
    varint::put(out, certificate.round.into());
    signatures::put(out, &certificate.signatures);
}

fn take_decided(reader: &mut Reader<'_>, chain: Digest) -> Result<DecidedHeader, DecodeError> {
    let height = Height::new(varint::take(reader, "height")?);
    let previous = reader.array("previous hash")?.into();
    let time = BlockTime::from_millis(i64::from_be_bytes(reader.array("time")?));
    let proposer = ValidatorId::from_bytes(reader.array("proposer")?);
    let records = take_u32(reader, "number of records")?;
    let tree_size = varint::take(reader, "tree size")?;
    let tree_root = reader.array("tree root")?.into();
    let transactions_root = reader.array("transactions root")?.into();
    let validators_hash = reader.array("validators hash")?.into();
    let hands_over = reader.flag("change of validators")?;
    let next_validators_hash = match hands_over {
        false => validators_hash,
        true => Digest::from_bytes(reader.array("next validators hash")?),
    };
    if hands_over && next_validators_hash == validators_hash {
        return Err(DecodeError::Value("change of validators"));
    }
    let header = BlockHeader {
        chain,
        height,
        previous,
        time,
        proposer,
        records,
        tree_size,
        tree_root,
        transactions_root,
        validators_hash,
        next_validators_hash,
        index_height: Height::new(varint::take(reader, "index height")?),
        index_root: reader.array("index root")?.into(),
    };
    let certificate = CommitCertificate {
        height,
        round: take_u32(reader, "round")?,
        block: header.hash(),
        signatures: signatures::take(reader)?,
    };
    Ok(DecidedHeader {
        header,
        certificate,
    })
}

fn take_u32(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    u32::try_from(varint::take(reader, what)?).map_err(|_| DecodeError::Value(what))
}
