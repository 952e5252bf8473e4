//! Signatures of several validators under one statement.

use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::{Signature, SignatureError};
use serde::{Deserialize, Serialize};

use crate::label::KeyName;
use crate::serial;
use crate::validators::{MAX_VALIDATORS, ValidatorSet};
use crate::varint;

/// One validator's signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSignature {
    /// Where in its set the validator stands, from 0.
    pub validator: u16,
    /// Made with its vote key.
    #[serde(with = "serial::signature")]
    pub signature: Signature,
}

/// Why signatures do not carry a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// A validator signs once, and the list is in order.
    #[error("the signatures are not in ascending order of validators, each once")]
    Order,
    /// The set has no such validator.
    #[error("the set has no validator at position {0}")]
    Stranger(u16),
    /// One of the signatures is wrong.
    #[error("the signature of {0} does not hold")]
    Invalid(KeyName),
    /// Not more than two thirds.
    #[error("{have} of {of} validators signed; {need} are needed")]
    TooFew {
        /// How many signed.
        have: usize,
        /// How many must.
        need: usize,
        /// How many there are.
        of: usize,
    },
}

/// Succeeds when more than two thirds of `set` signed `message`, nobody twice and nobody wrongly.
pub(crate) fn verify(
    set: &ValidatorSet,
    message: &[u8],
    signatures: &[SetSignature],
) -> Result<(), QuorumError> {
    if !signatures.is_sorted_by(|one, next| one.validator < next.validator) {
        return Err(QuorumError::Order);
    }
    let (have, need, of) = (signatures.len(), set.quorum(), set.len());
    if have < need {
        return Err(QuorumError::TooFew { have, need, of });
    }
    for entry in signatures {
        let validator = set
            .at(entry.validator.into())
            .ok_or(QuorumError::Stranger(entry.validator))?;
        let checked = validator.vote_key.verify(message, &entry.signature);
        checked.map_err(|_: SignatureError| QuorumError::Invalid(validator.name.clone()))?;
    }
    Ok(())
}

pub(crate) fn put(out: &mut Vec<u8>, signatures: &[SetSignature]) {
    varint::put(out, signatures.len() as u64);
    for entry in signatures {
        varint::put(out, entry.validator.into());
        out.extend(entry.signature.to_bytes());
    }
}

pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Vec<SetSignature>, DecodeError> {
    let count = varint::take_count(reader, 0, MAX_VALIDATORS, "number of signatures")?;
    let mut signatures = Vec::with_capacity(count);
    for _ in 0..count {
        let position = varint::take(reader, "signer")?;
        let validator = u16::try_from(position).map_err(|_| DecodeError::Value("signer"))?;
        signatures.push(SetSignature {
            validator,
            signature: take_one(reader)?,
        });
    }
    Ok(signatures)
}

/// Reads 64 bytes of signature in the one form that is stored: low `s`.
pub(crate) fn take_one(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let signature = Signature::from_bytes(&reader.array("signature")?);
    let signature = signature.map_err(|_| DecodeError::Value("signature"))?;
    if signature.normalized() == signature {
        Ok(signature)
    } else {
        Err(DecodeError::Value("high s of a signature"))
    }
}
