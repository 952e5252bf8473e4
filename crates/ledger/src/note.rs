//! Signed notes (c2sp.org/signed-note): a text, a blank line, and lines of signatures. The envelope
//! of checkpoints.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::label::KeyName;

/// How many bytes a note may have.
pub const MAX_NOTE_BYTES: usize = 1 << 16;
/// How many signatures a note may have.
pub const MAX_NOTE_SIGNATURES: usize = 256;

const LINE_START: &str = "\u{2014} ";

/// A text and the signatures under it, not yet verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    /// Whose it claims to be. Others than validators may sign, so any name is read.
    pub name: String,
    /// The first four bytes of a digest over name, kind and key.
    pub key_id: [u8; 4],
    /// What the kind of signature asks for.
    pub signature: Vec<u8>,
}

/// Why a text is not a note, a checkpoint or a proof, or why its signatures do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note of ours.
    #[error("the note has more than {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// The layout is wrong.
    #[error("the note's {0} is malformed")]
    Format(&'static str),
    /// A known key did not sign this.
    #[error("the signature of {0} does not hold")]
    Invalid(KeyName),
    /// Not more than two thirds cosigned.
    #[error("{have} of {of} validators cosigned; {need} are needed")]
    TooFew {
        /// How many cosigned.
        have: usize,
        /// How many must.
        need: usize,
        /// How many there are.
        of: usize,
    },
    /// It belongs to another registry.
    #[error("the checkpoint's origin is not {0}")]
    Origin(crate::label::ChainId),
    /// No signature can carry this time.
    #[error("a cosignature cannot carry a time before 1970")]
    Time,
    /// The path does not lead to the checkpoint.
    #[error(transparent)]
    Merkle(#[from] crate::merkle::MerkleError),
}

impl SignedNote {
    /// Joins a text that ends with a newline and signatures over it.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let printable = text
            .chars()
            .all(|character| character == '\n' || character >= ' ');
        if !text.ends_with('\n') || !printable {
            return Err(NoteError::Format("text"));
        }
        if signatures.is_empty() || signatures.len() > MAX_NOTE_SIGNATURES {
            return Err(NoteError::Format("number of signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Reads a note; the last blank line parts text and signatures.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let (text, lines) = note
            .rsplit_once("\n\n")
            .ok_or(NoteError::Format("blank line"))?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Format("last line"))?;
        let signatures = lines
            .split('\n')
            .map(NoteSignature::parse)
            .collect::<Result<_, _>>()?;
        Self::new(format!("{text}\n"), signatures)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl NoteSignature {
    pub(crate) fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Format("signature line");
        let rest = line.strip_prefix(LINE_START).ok_or_else(malformed)?;
        let (name, encoded) = rest.split_once(' ').ok_or_else(malformed)?;
        let is_name = !name.is_empty()
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| malformed())?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if is_name && !signature.is_empty() => Ok(Self {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            }),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        write!(
            f,
            "{LINE_START}{} {}",
            self.name,
            BASE64_STANDARD.encode(bytes)
        )
    }
}
