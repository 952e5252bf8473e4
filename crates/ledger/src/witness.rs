//! Witnesses (c2sp.org/tlog-witness): somebody outside a registry signs that it only ever grew.
//!
//! A registry sends its newest checkpoint with a proof that it continues the one that the witness
//! saw last; the witness answers with a cosignature. Here are both sides of that question without a
//! network, a disk or a clock: what is sent, when a witness may sign, and what its answer must be.
//! A witness never signs two histories of one registry, so whoever asks for witnesses' cosignatures
//! cannot be shown another one than everybody else.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use birthmark_protocol::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{COSIGNATURE, Checkpoint, LOG, decimal, key_id};
use crate::keys::CheckpointPublicKey;
use crate::merkle::ConsistencyProof;
use crate::note::{MAX_NOTE_BYTES, NoteError, NoteSignature, SignedNote};

/// No consistency proof is longer.
const MAX_STEPS: usize = 63;
/// How many bytes a question may have: the note, and a line for each step of the proof.
pub const MAX_QUESTION_BYTES: usize = MAX_NOTE_BYTES + 64 * 45;

/// A key of a log or a witness as others publish it: `name+id+key`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierKey {
    name: String,
    kind: u8,
    key: CheckpointPublicKey,
}

/// Why a text is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// The layout is wrong.
    #[error("it is not of the form name+id+key")]
    Format,
    /// The id belongs to another name or key.
    #[error("its id is not that of its name and key")]
    Id,
    /// Another kind of key.
    #[error("it is of kind {0}; known are 1 (a log's Ed25519 key) and 4 (an Ed25519 cosigner's)")]
    Kind(u8),
    /// The key is none.
    #[error("its key is not an Ed25519 public key, or a weak one")]
    Key,
}

/// A question to a witness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    /// The size that the witness is thought to have seen last.
    pub old: u64,
    /// The hashes that lead from there to the checkpoint.
    pub path: Vec<Digest>,
    /// The checkpoint, with at least a line of its log.
    pub note: SignedNote,
}

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No line of a key that is known for this log.
    #[error("no line under the checkpoint is by a key that is known for this log")]
    Untrusted,
    /// The question is none.
    #[error("{0}")]
    Malformed(#[from] NoteError),
    /// The question is about a smaller tree than it begins with.
    #[error("the old size is {old}, the checkpoint has only {size}")]
    Backwards {
        /// Where it begins.
        old: u64,
        /// What the checkpoint says.
        size: u64,
    },
    /// The witness saw another size last.
    #[error("the checkpoint that was seen last has {0} records")]
    Conflict(u64),
    /// Two histories of one log.
    #[error("the checkpoint does not continue the one that was seen last")]
    Fork,
}

/// Why a witness's answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not made of signature lines.
    #[error("its answer is not made of signature lines")]
    Format,
    /// None of them is by its key.
    #[error("none of the lines in its answer is by its key")]
    Stranger,
    /// The line does not hold.
    #[error("its signature does not hold for the checkpoint that was sent")]
    Invalid,
    /// Dated too far from now.
    #[error("its signature is dated {0} seconds from now")]
    Time(u64),
}

/// So far from now a fresh cosignature may be dated, for clocks that differ.
const MOST_SECONDS: u64 = 300;

impl VerifierKey {
    /// Whose key it is: a witness's name, or a log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a log's key.
    pub const fn is_of_log(&self) -> bool {
        self.kind == LOG
    }

    /// Whether a line under a checkpoint claims to be by this key.
    pub fn is_of(&self, line: &NoteSignature) -> bool {
        line.name == self.name && line.key_id == key_id(&self.name, self.kind, &self.key)
    }

    /// Whether this log's key made the line.
    fn signed(&self, note: &SignedNote, line: &NoteSignature) -> bool {
        let signature = line.signature.as_slice().try_into();
        self.is_of_log()
            && self.is_of(line)
            && signature.is_ok_and(|signature| self.key.verifies(note.text().as_bytes(), signature))
    }

    /// When this witness says that it saw the checkpoint; nothing if the line is not its.
    pub fn cosigned_at(&self, checkpoint: &Checkpoint, line: &NoteSignature) -> Option<Timestamp> {
        match self.kind {
            COSIGNATURE if self.is_of(line) => checkpoint.cosigned_at(&self.key, &line.signature),
            _ => None,
        }
    }

    /// The line by which this witness cosigned the checkpoint, and when, from its answer.
    pub fn cosignature(
        &self,
        checkpoint: &Checkpoint,
        answer: &str,
        now: Timestamp,
    ) -> Result<(NoteSignature, Timestamp), AnswerError> {
        let lines = answer.strip_suffix('\n').ok_or(AnswerError::Format)?;
        let lines = lines.split('\n').map(NoteSignature::parse);
        let lines = lines.collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|_| AnswerError::Format)?;
        let own = lines.into_iter().find(|line| self.is_of(line));
        let own = own.ok_or(AnswerError::Stranger)?;
        let time = self.cosigned_at(checkpoint, &own);
        let time = time.ok_or(AnswerError::Invalid)?;
        match time.unix().abs_diff(now.unix()) {
            0..=MOST_SECONDS => Ok((own, time)),
            away => Err(AnswerError::Time(away)),
        }
    }
}

impl AddCheckpoint {
    /// The body of the question.
    pub fn to_text(&self) -> String {
        let path = self.path.iter();
        let path: String = path
            .map(|hash| BASE64_STANDARD.encode(hash.as_bytes()) + "\n")
            .collect();
        format!("old {}\n{path}\n{}", self.old, self.note)
    }

    /// Reads the body of a question.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > MAX_QUESTION_BYTES {
            return Err(NoteError::TooLong);
        }
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(NoteError::Format("blank line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(decimal).ok_or(NoteError::Format("old size"))?;
        let hash = |line: &str| {
            let bytes = BASE64_STANDARD.decode(line).ok()?;
            Digest::try_from(bytes.as_slice()).ok()
        };
        let path = lines.map(hash).collect::<Option<Vec<_>>>();
        let path = path.filter(|path| path.len() <= MAX_STEPS);
        Ok(Self {
            old,
            path: path.ok_or(NoteError::Format("consistency proof"))?,
            note: SignedNote::parse(note)?,
        })
    }

    /// Which log the question is about.
    pub fn origin(&self) -> Option<&str> {
        self.note.text().lines().next()
    }

    /// The checkpoint that a witness may sign, which knows these keys of the log and saw this
    /// checkpoint of it last.
    pub fn check(
        &self,
        keys: &[VerifierKey],
        last: Option<&Checkpoint>,
    ) -> Result<Checkpoint, Refusal> {
        let lines = self.note.signatures();
        let is_signed = |key: &VerifierKey| lines.iter().any(|line| key.signed(&self.note, line));
        if !keys.iter().any(is_signed) {
            return Err(Refusal::Untrusted);
        }
        let checkpoint = Checkpoint::parse_text(self.note.text())?;
        let (old, size) = (self.old, checkpoint.size);
        if old > size {
            return Err(Refusal::Backwards { old, size });
        }
        let (seen, root) = last.map_or((0, crate::merkle::empty_root()), |last| {
            (last.size, last.root)
        });
        if old != seen {
            return Err(Refusal::Conflict(seen));
        }
        let proof = ConsistencyProof {
            old,
            new: size,
            path: self.path.clone(),
        };
        match proof.verify(&root, &checkpoint.root) {
            Ok(()) => Ok(checkpoint),
            Err(_) => Err(Refusal::Fork),
        }
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Format);
        };
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c < ' ');
        let bytes = BASE64_STANDARD.decode(key);
        let bytes = bytes.map_err(|_| VerifierKeyError::Format)?;
        let (kind, key) = bytes.split_first().ok_or(VerifierKeyError::Format)?;
        if !is_name {
            return Err(VerifierKeyError::Format);
        }
        if ![LOG, COSIGNATURE].contains(kind) {
            return Err(VerifierKeyError::Kind(*kind));
        }
        let key = key.try_into().map_err(|_| VerifierKeyError::Key)?;
        let key = CheckpointPublicKey::from_bytes(key).map_err(|_| VerifierKeyError::Key)?;
        if hex::encode(key_id(name, *kind, &key)) != id {
            return Err(VerifierKeyError::Id);
        }
        Ok(Self {
            name: name.to_owned(),
            kind: *kind,
            key,
        })
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = VerifierKeyError;

    fn try_from(text: String) -> Result<Self, VerifierKeyError> {
        text.parse()
    }
}

impl From<VerifierKey> for String {
    fn from(key: VerifierKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::checkpoint::verifier_key(
            &self.name, self.kind, &self.key,
        ))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}
