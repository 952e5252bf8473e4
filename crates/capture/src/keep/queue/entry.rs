//! One proof on its way.

use std::fmt;
use std::io;
use std::str::FromStr;

use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::send::signer::Proof;

/// The name of an entry: when the photo was taken, and eight random bytes. Older photos come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    time: u64,
    random: u64,
}

/// A text that is no name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proof is named by 16 hexadecimal characters, a dash and 16 more")]
pub struct IdError;

impl EntryId {
    /// The name for a photo taken at `unix_ns`.
    pub const fn new(unix_ns: i64, random: u64) -> Self {
        let time = if unix_ns < 0 {
            0
        } else {
            unix_ns.unsigned_abs()
        };
        Self { time, random }
    }

    /// Which of the 256 folders it lies in.
    pub fn shard(self) -> String {
        format!("{:02x}", self.random & 0xff)
    }

    /// Four characters that tell photos of one millisecond apart.
    pub fn short(self) -> String {
        format!("{:04x}", (self.random >> 8) & 0xffff)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.time, self.random)
    }
}

impl FromStr for EntryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (time, random) = text.split_once('-').ok_or(IdError)?;
        let half = |text: &str| match text.len() == 16
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            true => u64::from_str_radix(text, 16).map_err(|_| IdError),
            false => Err(IdError),
        };
        Ok(Self {
            time: half(time)?,
            random: half(random)?,
        })
    }
}

/// Everything needed to get one photo registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The photo, relative to the folder of photos.
    pub photo: String,
    /// The canonical bytes of the bundle, in base64.
    pub bundle: String,
    /// The hash of the block the bundle is anchored to, if it is to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_block: Option<Digest>,
    /// The opening of the commitment, in hexadecimal.
    pub opening: String,
    /// The validators that refused it, and why; the next one is asked instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// How far it has come.
    #[serde(flatten)]
    pub stage: Stage,
}

/// One validator's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which validator.
    pub node: String,
    /// In its words.
    pub reason: String,
}

/// How far a proof has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// The signer could not be reached when the photo was taken.
    Unsigned,
    /// Ready to be sent.
    Signed {
        /// The signature and the token.
        proof: Proof,
    },
    /// The node has it and gave a number for it.
    Submitted {
        /// The signature and the token, for the case that the node forgets.
        proof: Proof,
        /// The node's number.
        receipt_id: String,
        /// Which validator gave it.
        node: String,
    },
    /// The node will never take it as it is.
    Refused {
        /// The signature and the token, if there were any.
        proof: Option<Proof>,
        /// The node's reason.
        reason: String,
        /// When, in Unix seconds.
        at: i64,
    },
}

impl Stage {
    /// One word for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed { .. } => "signed",
            Self::Submitted { .. } => "submitted",
            Self::Refused { .. } => "refused",
        }
    }
}

impl Entry {
    /// The bytes of the entry's file.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads the bytes of an entry's file.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The same entry before it was refused.
    pub fn again(self) -> Self {
        let stage = match self.stage {
            Stage::Refused {
                proof: Some(proof), ..
            } => Stage::Signed { proof },
            Stage::Refused { proof: None, .. } => Stage::Unsigned,
            stage => stage,
        };
        Self {
            stage,
            refusals: Vec::new(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written_and_sorts_by_time(a in 0i64.., b in 0i64.., x: u64, y: u64) {
            let (first, second) = (EntryId::new(a, x), EntryId::new(b, y));
            prop_assert_eq!(first.to_string().parse::<EntryId>(), Ok(first));
            prop_assert_eq!(first.to_string().cmp(&second.to_string()), first.cmp(&second));
        }

        #[test]
        fn no_other_text_is_a_name(text in "[0-9a-fA-F+./-]{0,40}") {
            if let Ok(id) = text.parse::<EntryId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
