//! Checkpoints (c2sp.org/tlog-checkpoint) with the validators' cosignatures
//! (c2sp.org/tlog-cosignature, Ed25519): how existing mirrors and witnesses follow the registry.
//!
//! Other software wants a signature of *the log* as well, by a key named like the checkpoint's
//! origin. A registry of many has no such key, so each validator has one: any of these lines
//! satisfies it. To us only the quorum of cosignatures counts; a line of a validator that does not
//! hold spoils the checkpoint either way.
//!
//! A cosignature covers `cosignature/v1`, a line `time` with seconds since 1970, and the
//! checkpoint's text. Validators write the block's time there: Ed25519 is deterministic, so a lost
//! cosignature can be made again, the same.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use birthmark_protocol::{Digest, Timestamp};

use crate::header::BlockHeader;
use crate::keys::{CheckpointKey, CheckpointPublicKey};
use crate::label::{ChainId, KeyName};
use crate::note::{NoteError, NoteSignature, SignedNote};
use crate::validators::{Validator, ValidatorSet};

/// The byte that stands for timestamped Ed25519 cosignatures in key ids.
pub(crate) const COSIGNATURE: u8 = 4;
/// The byte that stands for plain Ed25519 signatures, as logs make them.
pub(crate) const LOG: u8 = 1;

/// The registry at one size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The registry's name.
    pub origin: ChainId,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// A checkpoint and the lines under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// Signatures of validators, witnesses and others, not yet verified.
    pub signatures: Vec<NoteSignature>,
}

impl Checkpoint {
    /// The registry after a block.
    pub fn after(origin: ChainId, header: &BlockHeader) -> Self {
        Self {
            origin,
            size: header.tree_size,
            root: header.tree_root,
        }
    }

    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64_STANDARD.encode(self.root.as_bytes())
        )
    }

    /// Reads the three lines. Extension lines are refused: ours has none.
    pub fn parse_text(text: &str) -> Result<Self, NoteError> {
        let lines: Vec<_> = text
            .strip_suffix('\n')
            .ok_or(NoteError::Format("last line"))?
            .split('\n')
            .collect();
        let [origin, size, root] = lines.as_slice() else {
            return Err(NoteError::Format("number of checkpoint lines"));
        };
        let origin = ChainId::new(origin).map_err(|_| NoteError::Format("origin"))?;
        let size = decimal(size).ok_or(NoteError::Format("tree size"))?;
        let root = BASE64_STANDARD
            .decode(root)
            .ok()
            .and_then(|root| Digest::try_from(root.as_slice()).ok());
        Ok(Self {
            origin,
            size,
            root: root.ok_or(NoteError::Format("root hash"))?,
        })
    }

    /// One validator's statement that the registry had this size and root at `time`.
    pub fn cosign(
        &self,
        name: &KeyName,
        key: &CheckpointKey,
        time: Timestamp,
    ) -> Result<NoteSignature, NoteError> {
        let seconds = u64::try_from(time.unix()).map_err(|_| NoteError::Time)?;
        let mut signature = seconds.to_be_bytes().to_vec();
        signature.extend(key.sign(self.cosigned_message(seconds).as_bytes()));
        Ok(NoteSignature {
            name: name.to_string(),
            key_id: key_id(name.as_str(), COSIGNATURE, &key.public_key()),
            signature,
        })
    }

    /// One validator's line as the log: under the registry's name, over the text alone.
    pub fn sign_as_log(&self, key: &CheckpointKey) -> NoteSignature {
        NoteSignature {
            name: self.origin.to_string(),
            key_id: key_id(self.origin.as_str(), LOG, &key.log_public_key()),
            signature: key.sign_as_log(self.text().as_bytes()).to_vec(),
        }
    }

    /// Both lines of a validator: its cosignature, and its signature as the log.
    pub fn sign(
        &self,
        name: &KeyName,
        key: &CheckpointKey,
        time: Timestamp,
    ) -> Result<Vec<NoteSignature>, NoteError> {
        Ok(vec![self.sign_as_log(key), self.cosign(name, key, time)?])
    }

    /// Whether a line is the one that `validator` wrote as the log, and if so whether it holds.
    fn verify_log_line(&self, validator: &Validator, line: &NoteSignature) -> Option<bool> {
        let id = validator.log_key_id(&self.origin);
        if line.name != self.origin.as_str() || line.key_id != id {
            return None;
        }
        let signature = line.signature.as_slice().try_into();
        let holds = signature.is_ok_and(|signature| {
            let text = self.text();
            validator.log_key.verifies(text.as_bytes(), signature)
        });
        Some(holds)
    }

    fn cosigned_message(&self, seconds: u64) -> String {
        format!("cosignature/v1\ntime {seconds}\n{}", self.text())
    }

    /// When the holder of `key` says it saw this; `None` if that key did not sign.
    pub(crate) fn cosigned_at(
        &self,
        key: &CheckpointPublicKey,
        signature: &[u8],
    ) -> Option<Timestamp> {
        let (seconds, signature) = signature.split_first_chunk::<8>()?;
        let seconds = u64::from_be_bytes(*seconds);
        let message = self.cosigned_message(seconds);
        let holds = key.verifies(message.as_bytes(), signature.try_into().ok()?);
        i64::try_from(seconds)
            .ok()
            .filter(|_| holds)
            .map(Timestamp::from_unix)
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint with its signature lines.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse_text(note.text())?;
        Ok(Self {
            checkpoint,
            signatures: note.signatures().to_vec(),
        })
    }

    /// The same as a note.
    pub fn to_note(&self) -> Result<SignedNote, NoteError> {
        SignedNote::new(self.checkpoint.text(), self.signatures.clone())
    }

    /// When each validator of `set` that cosigned says it saw this. Lines of others are passed
    /// over, a wrong line of a validator spoils the whole.
    pub fn cosigners(&self, set: &ValidatorSet) -> Result<BTreeMap<KeyName, Timestamp>, NoteError> {
        let mut cosigners = BTreeMap::new();
        for line in &self.signatures {
            let as_log = |validator: &&Validator| {
                self.checkpoint.verify_log_line(validator, line) == Some(false)
            };
            if let Some(validator) = set.validators().iter().find(as_log) {
                return Err(NoteError::Invalid(validator.name.clone()));
            }
            let own = |validator: &&Validator| {
                validator.name.as_str() == line.name && validator.checkpoint_key_id() == line.key_id
            };
            let Some(validator) = set.validators().iter().find(own) else {
                continue;
            };
            let key = &validator.checkpoint_key;
            let time = self.checkpoint.cosigned_at(key, &line.signature);
            let time = time.ok_or_else(|| NoteError::Invalid(validator.name.clone()))?;
            cosigners.insert(validator.name.clone(), time);
        }
        Ok(cosigners)
    }

    /// Succeeds when more than two thirds of `set` cosigned this checkpoint of the registry
    /// `origin`.
    pub fn verify(
        &self,
        origin: &ChainId,
        set: &ValidatorSet,
    ) -> Result<BTreeMap<KeyName, Timestamp>, NoteError> {
        if self.checkpoint.origin != *origin {
            return Err(NoteError::Origin(origin.clone()));
        }
        let cosigners = self.cosigners(set)?;
        let (have, need, of) = (cosigners.len(), set.quorum(), set.len());
        if have < need {
            Err(NoteError::TooFew { have, need, of })
        } else {
            Ok(cosigners)
        }
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint.text())?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Validator {
    /// Which line under a checkpoint is this validator's.
    pub fn checkpoint_key_id(&self) -> [u8; 4] {
        key_id(self.name.as_str(), COSIGNATURE, &self.checkpoint_key)
    }

    /// Which line under a checkpoint of this registry is the one it wrote as the log.
    pub fn log_key_id(&self, origin: &ChainId) -> [u8; 4] {
        key_id(origin.as_str(), LOG, &self.log_key)
    }

    /// Its key as the log, as other software takes it: `origin+id+key`.
    pub fn log_verifier_key(&self, origin: &ChainId) -> String {
        verifier_key(origin.as_str(), LOG, &self.log_key)
    }

    /// The key as witnesses and mirrors take it: `name+id+key`.
    pub fn verifier_key(&self) -> String {
        verifier_key(self.name.as_str(), COSIGNATURE, &self.checkpoint_key)
    }
}

pub(crate) fn verifier_key(name: &str, kind: u8, key: &CheckpointPublicKey) -> String {
    let id = hex::encode(key_id(name, kind, key));
    let key = [[kind].as_slice(), &key.to_bytes()].concat();
    format!("{name}+{id}+{}", BASE64_STANDARD.encode(key))
}

pub(crate) fn key_id(name: &str, kind: u8, key: &CheckpointPublicKey) -> [u8; 4] {
    let hashed = [name.as_bytes(), b"\n", &[kind], &key.to_bytes()].concat();
    let [a, b, c, d, ..] = *Digest::of(&hashed).as_bytes();
    [a, b, c, d]
}

/// A decimal number as these texts write it: digits only, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
