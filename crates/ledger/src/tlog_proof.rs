//! A receipt as one small text (c2sp.org/tlog-proof): any verifier of transparency logs can check
//! it. The `extra` line holds the record's leaf bytes, so the text needs nothing beside it but the
//! validators' keys.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use birthmark_protocol::Digest;

use crate::checkpoint::{SignedCheckpoint, decimal};
use crate::label::ChainId;
use crate::merkle::{self, InclusionProof, MAX_PATH};
use crate::note::{MAX_NOTE_BYTES, NoteError};
use crate::validators::ValidatorSet;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A leaf, its path and the checkpoint the path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Which leaf, from 0.
    pub index: u64,
    /// The hashes beside the way up, the leaf's sibling first.
    pub path: Vec<Digest>,
    /// Where the path leads.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Succeeds when the leaf stands in the registry `origin` as more than two thirds of `set`
    /// cosigned it.
    pub fn verify(&self, origin: &ChainId, set: &ValidatorSet) -> Result<(), NoteError> {
        self.checkpoint.verify(origin, set)?;
        let checkpoint = &self.checkpoint.checkpoint;
        let proof = InclusionProof {
            index: self.index,
            size: checkpoint.size,
            path: self.path.clone(),
        };
        Ok(proof.verify(&merkle::leaf_hash(&self.leaf), &checkpoint.root)?)
    }

    /// Reads the text. A proof without the `extra` line proves a leaf it does not show and is
    /// refused.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(NoteError::Format("blank line"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(NoteError::Format("first line"));
        }
        let leaf = lines.next().and_then(|line| line.strip_prefix("extra "));
        let leaf = leaf
            .and_then(|leaf| BASE64_STANDARD.decode(leaf).ok())
            .ok_or(NoteError::Format("extra line"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index
            .and_then(decimal)
            .ok_or(NoteError::Format("index line"))?;
        let path = lines
            .map(hash_line)
            .collect::<Option<Vec<_>>>()
            .ok_or(NoteError::Format("path"))?;
        if path.len() > MAX_PATH {
            return Err(NoteError::Format("path"));
        }
        Ok(Self {
            leaf,
            index,
            path,
            checkpoint: SignedCheckpoint::parse(checkpoint)?,
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{FIRST_LINE}\nextra {}\nindex {}",
            BASE64_STANDARD.encode(&self.leaf),
            self.index
        )?;
        self.path
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", BASE64_STANDARD.encode(hash.as_bytes())))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn hash_line(line: &str) -> Option<Digest> {
    Digest::try_from(BASE64_STANDARD.decode(line).ok()?.as_slice()).ok()
}
