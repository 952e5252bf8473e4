//! A change of validators: the next set, signed by more than two thirds of the present one.
//!
//! A block that carries it is the last one the present set decides.
//!
//! ```text
//! u8   0xc1 (a set change, version 1: no transaction begins with it)
//! 32   hash of the present set: the change fits no other
//! u64  the lowest height that may carry it, big-endian
//! u64  the highest height that may carry it, big-endian
//! …    the next set
//! varint  number of signatures, in ascending order of signers, each:
//!     varint  position of the validator in the present set, from 0
//!     64   signature over "birthmark/set-change/v1" ‖ chain ‖ everything before the number of signatures
//! ```

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use crate::header::Height;
use crate::keys::{SigningError, VoteSigner};
use crate::signatures::{self, QuorumError, SetSignature};
use crate::validators::{SetError, ValidatorId, ValidatorSet};

/// The first byte of the encoding this program writes.
pub const CHANGE_VERSION: u8 = 0xc1;

const DOMAIN: &[u8] = b"birthmark/set-change/v1\0";

/// A change of validators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetChange {
    /// The hash of the set that decides on it.
    pub present: Digest,
    /// The lowest height that may carry it.
    pub not_before: Height,
    /// The highest height that may carry it.
    pub not_after: Height,
    /// Who decides from the next height on.
    pub next: ValidatorSet,
    /// Who of the present set agreed.
    pub signatures: Vec<SetSignature>,
}

/// Why a change does not take effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It was agreed by another set.
    #[error("the change belongs to another set of validators")]
    OtherSet,
    /// It came too early or too late.
    #[error("the change may stand at heights {first} to {last}, not {at}")]
    Height {
        /// Where it stands.
        at: Height,
        /// The lowest allowed.
        first: Height,
        /// The highest allowed.
        last: Height,
    },
    /// It would change nothing.
    #[error("the next set is the present one")]
    Same,
    /// The signer is not in the present set.
    #[error("the key belongs to no validator of the present set")]
    Stranger,
    /// The key did not sign.
    #[error("cannot sign the change: {0}")]
    Signing(#[from] SigningError),
    /// Its signatures do not carry it.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// Its next set is none.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The bytes are not a change.
    #[error("not a set change: {0}")]
    Decode(#[from] DecodeError),
}

impl SetChange {
    /// A change nobody has signed.
    pub fn propose(
        present: &ValidatorSet,
        next: ValidatorSet,
        not_before: Height,
        not_after: Height,
    ) -> Self {
        Self {
            present: present.hash(),
            not_before,
            not_after,
            next,
            signatures: Vec::new(),
        }
    }

    /// Adds one validator's agreement; a second one of the same validator replaces the first.
    pub fn sign(
        &mut self,
        chain: &Digest,
        present: &ValidatorSet,
        key: &impl VoteSigner,
    ) -> Result<(), ChangeError> {
        if present.hash() != self.present {
            return Err(ChangeError::OtherSet);
        }
        let position = present
            .position(&ValidatorId::of(&key.public_key()))
            .ok_or(ChangeError::Stranger)?;
        let validator = u16::try_from(position).map_err(|_| ChangeError::Stranger)?;
        let signature = key.sign(&self.signed_message(chain))?.normalized();
        self.signatures.retain(|entry| entry.validator != validator);
        self.signatures.push(SetSignature {
            validator,
            signature,
        });
        self.signatures.sort_by_key(|entry| entry.validator);
        Ok(())
    }

    /// Succeeds when the block at `height`, decided by `present`, may carry this change.
    pub fn verify(
        &self,
        chain: &Digest,
        present: &ValidatorSet,
        height: Height,
    ) -> Result<(), ChangeError> {
        if present.hash() != self.present {
            return Err(ChangeError::OtherSet);
        }
        if self.next == *present {
            return Err(ChangeError::Same);
        }
        let (first, last) = (self.not_before, self.not_after);
        if height < first || height > last {
            return Err(ChangeError::Height {
                at: height,
                first,
                last,
            });
        }
        Ok(signatures::verify(
            present,
            &self.signed_message(chain),
            &self.signatures,
        )?)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_body();
        signatures::put(&mut out, &self.signatures);
        out
    }

    /// Reads exactly one change.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChangeError> {
        let mut reader = Reader::new(bytes);
        let change = Self::take(&mut reader)?;
        reader.end()?;
        Ok(change)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, ChangeError> {
        let version = reader.byte("set change's version")?;
        if version != CHANGE_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        Ok(Self {
            present: reader.array("present set")?.into(),
            not_before: Height::new(u64::from_be_bytes(reader.array("lowest height")?)),
            not_after: Height::new(u64::from_be_bytes(reader.array("highest height")?)),
            next: ValidatorSet::take(reader)?,
            signatures: signatures::take(reader)?,
        })
    }

    fn encode_body(&self) -> Vec<u8> {
        let mut out = vec![CHANGE_VERSION];
        out.extend(self.present.as_bytes());
        out.extend(self.not_before.get().to_be_bytes());
        out.extend(self.not_after.get().to_be_bytes());
        out.extend(self.next.encode());
        out
    }

    fn signed_message(&self, chain: &Digest) -> Vec<u8> {
        [DOMAIN, chain.as_bytes(), &self.encode_body()].concat()
    }
}
