//! The certificate of a decided block: precommits of more than two thirds of its validators.
//!
//! ```text
//! u8   version (1)
//! u64  height, big-endian
//! u32  round, big-endian
//! 32   block hash
//! varint  number of signatures, in ascending order of signers, each:
//!     varint  position of the validator in its set, from 0
//!     64   signature over the precommit (see the vote)
//! ```

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};
use serde::{Deserialize, Serialize};

use crate::header::{BlockHeader, Height};
use crate::signatures::{self, QuorumError, SetSignature};
use crate::validators::ValidatorSet;
use crate::vote::{Vote, VoteKind};

/// The version of the encoding this program writes.
pub const CERTIFICATE_VERSION: u8 = 1;

/// That a block was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitCertificate {
    /// The height that was decided.
    pub height: Height,
    /// The attempt that succeeded, from 0.
    pub round: u32,
    /// The block.
    pub block: Digest,
    /// Who decided it.
    pub signatures: Vec<SetSignature>,
}

/// Why a certificate does not decide a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It was made for another block.
    #[error("the certificate decides another block")]
    OtherBlock,
    /// It was made by other validators.
    #[error("the header names other validators than the ones it is checked against")]
    OtherValidators,
    /// Its signatures do not carry it.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

impl CommitCertificate {
    /// The precommit its signers signed.
    pub fn vote(&self, chain: Digest) -> Vote {
        Vote {
            chain,
            kind: VoteKind::Precommit,
            height: self.height,
            round: self.round,
            block: Some(self.block),
        }
    }

    /// Succeeds when more than two thirds of `set` decided exactly this header.
    pub fn verify(&self, header: &BlockHeader, set: &ValidatorSet) -> Result<(), CertificateError> {
        if self.height != header.height || self.block != header.hash() {
            return Err(CertificateError::OtherBlock);
        }
        if header.validators_hash != set.hash() {
            return Err(CertificateError::OtherValidators);
        }
        Ok(signatures::verify(
            set,
            &self.vote(header.chain).signed_bytes(),
            &self.signatures,
        )?)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![CERTIFICATE_VERSION];
        out.extend(self.height.get().to_be_bytes());
        out.extend(self.round.to_be_bytes());
        out.extend(self.block.as_bytes());
        signatures::put(&mut out, &self.signatures);
        out
    }

    /// Reads exactly one certificate.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("certificate version")?;
        if version != CERTIFICATE_VERSION {
            return Err(DecodeError::Version(version));
        }
        let certificate = Self {
            height: Height::new(u64::from_be_bytes(reader.array("height")?)),
            round: u32::from_be_bytes(reader.array("round")?),
            block: reader.array("block hash")?.into(),
            signatures: signatures::take(&mut reader)?,
        };
        reader.end()?;
        Ok(certificate)
    }
}
