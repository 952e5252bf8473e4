//! The validators: who may propose, vote and submit at a height, and how many of them make a
//! decision.
//!
//! Every institution has one vote. A set's canonical bytes:
//!
//! ```text
//! u8  version (1)
//! varint  number of validators (1–100), in ascending order of their ids, each:
//!     u8 + text  name
//!     33  vote key, compressed P-256 point
//!     32  checkpoint key, Ed25519
//!     32  log key, Ed25519
//! ```
//!
//! A validator's id is `SHA-256("birthmark/validator/v1" ‖ vote key)`, a set's hash
//! `SHA-256("birthmark/validators/v1" ‖ bytes)`.

use std::collections::BTreeSet;
use std::fmt;

use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::{Digest, PublicKey};
use serde::{Deserialize, Serialize};

use crate::keys::CheckpointPublicKey;
use crate::label::{self, KeyName};
use crate::serial;
use crate::varint;

/// The version of the encoding this program writes.
pub const SET_VERSION: u8 = 1;
/// How many validators one set may have.
pub const MAX_VALIDATORS: usize = 100;

/// How many of `validators` make a decision: more than two thirds.
pub const fn quorum(validators: usize) -> usize {
    validators.saturating_mul(2) / 3 + 1
}

/// Which validator: a digest of its vote key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValidatorId(Digest);

/// One institution's place in the set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The name it signs checkpoints with, like `library.example.edu`.
    pub name: KeyName,
    /// The key of its votes and transactions.
    #[serde(with = "serial::public_key")]
    pub vote_key: PublicKey,
    /// The key of its checkpoint cosignatures.
    pub checkpoint_key: CheckpointPublicKey,
    /// The key with which it signs checkpoints as the log itself: verifiers of other software ask
    /// for such a line, under the registry's own name. What counts here is the quorum of
    /// cosignatures.
    pub log_key: CheckpointPublicKey,
}

/// The validators of one height, in their one order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Validator>", into = "Vec<Validator>")]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    /// Their ids, in the same order: every answer about a photo looks one up.
    ids: Vec<ValidatorId>,
}

/// Why validators do not make a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Nobody, or too many.
    #[error("a set has 1 to {MAX_VALIDATORS} validators, not {0}")]
    Count(usize),
    /// Two validators share a name.
    #[error("two validators are named {0}")]
    SameName(KeyName),
    /// Two validators share a key.
    #[error("{0} shares a key with another validator")]
    SameKey(KeyName),
    /// The bytes are not a set.
    #[error("not a validator set: {0}")]
    Decode(#[from] DecodeError),
}

impl ValidatorId {
    /// The id of the validator with this vote key.
    pub fn of(vote_key: &PublicKey) -> Self {
        Self(Digest::tagged(
            "birthmark/validator/v1",
            &[&vote_key.to_compressed()],
        ))
    }

    /// Takes 32 stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ValidatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Validator {
    /// Its id.
    pub fn id(&self) -> ValidatorId {
        ValidatorId::of(&self.vote_key)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.name.put(out);
        out.extend(self.vote_key.to_compressed());
        out.extend(self.checkpoint_key.to_bytes());
        out.extend(self.log_key.to_bytes());
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = label::take(reader, "validator's name")?;
        let vote_key = PublicKey::from_sec1(&reader.array::<33>("vote key")?);
        let checkpoint_key = CheckpointPublicKey::from_bytes(&reader.array("checkpoint key")?);
        let log_key = CheckpointPublicKey::from_bytes(&reader.array("log key")?);
        Ok(Self {
            name,
            vote_key: vote_key.map_err(|_| DecodeError::Value("vote key"))?,
            checkpoint_key: checkpoint_key.map_err(|_| DecodeError::Value("checkpoint key"))?,
            log_key: log_key.map_err(|_| DecodeError::Value("log key"))?,
        })
    }
}

impl ValidatorSet {
    /// Puts validators into their order; no two may share a name or a key.
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, SetError> {
        if validators.is_empty() || validators.len() > MAX_VALIDATORS {
            return Err(SetError::Count(validators.len()));
        }
        validators.sort_by_cached_key(Validator::id);
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for validator in &validators {
            if !names.insert(&validator.name) {
                return Err(SetError::SameName(validator.name.clone()));
            }
            let own = [
                validator.vote_key.to_compressed().to_vec(),
                validator.checkpoint_key.to_bytes().to_vec(),
                validator.log_key.to_bytes().to_vec(),
            ];
            if !own.into_iter().all(|key| keys.insert(key)) {
                return Err(SetError::SameKey(validator.name.clone()));
            }
        }
        let ids = validators.iter().map(Validator::id).collect();
        Ok(Self { validators, ids })
    }

    /// The validators, in ascending order of their ids.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// How many of them make a decision.
    pub fn quorum(&self) -> usize {
        quorum(self.validators.len())
    }

    /// The validator at a position of the order, from 0.
    pub fn at(&self, position: usize) -> Option<&Validator> {
        self.validators.get(position)
    }

    /// The validator with this id.
    pub fn get(&self, id: &ValidatorId) -> Option<&Validator> {
        self.position(id).and_then(|position| self.at(position))
    }

    /// Where in the order the validator with this id stands.
    pub fn position(&self, id: &ValidatorId) -> Option<usize> {
        self.ids.binary_search(id).ok()
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SET_VERSION];
        varint::put(&mut out, self.validators.len() as u64);
        self.validators
            .iter()
            .for_each(|validator| validator.put(&mut out));
        out
    }

    /// What headers name the set by.
    pub fn hash(&self) -> Digest {
        Digest::tagged("birthmark/validators/v1", &[&self.encode()])
    }

    /// Reads exactly one set.
    pub fn parse(bytes: &[u8]) -> Result<Self, SetError> {
        let mut reader = Reader::new(bytes);
        let set = Self::take(&mut reader)?;
        reader.end()?;
        Ok(set)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, SetError> {
        let version = reader.byte("validator set's version")?;
        if version != SET_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let count = varint::take_count(reader, 1, MAX_VALIDATORS, "number of validators")?;
        let read = (0..count)
            .map(|_| Validator::take(reader))
            .collect::<Result<Vec<_>, _>>()?;
        let set = Self::new(read.clone())?;
        if set.validators == read {
            Ok(set)
        } else {
            Err(DecodeError::Value("order of validators").into())
        }
    }
}

impl TryFrom<Vec<Validator>> for ValidatorSet {
    type Error = SetError;

    fn try_from(validators: Vec<Validator>) -> Result<Self, SetError> {
        Self::new(validators)
    }
}

impl From<ValidatorSet> for Vec<Validator> {
    fn from(set: ValidatorSet) -> Self {
        set.validators
    }
}
