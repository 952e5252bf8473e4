//! One validation in the log: 42 bytes.

use birthmark_protocol::Assurance;

use super::Outcome;
use crate::judge::Refusal;
use crate::keep::vault::Vault;

/// The bytes of one entry.
pub(super) const LENGTH: usize = 8 + 1 + 1 + 32;

/// One validation as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub time: i64,
    /// What was vouched for, or why not.
    pub result: Result<Assurance, Refusal>,
    /// A keyed digest of the commitment; zero if there was none.
    pub subject: [u8; 32],
}

impl Entry {
    /// What is kept of an outcome.
    pub fn of(vault: &Vault, outcome: &Outcome) -> Self {
        let subject = |commitment: birthmark_protocol::Commitment| {
            vault.audit_digest(&[b"birthmark/audit/subject/v1", commitment.as_bytes()])
        };
        Self {
            time: outcome.time.unix(),
            result: outcome.result,
            subject: outcome.commitment.map(subject).unwrap_or_default(),
        }
    }

    /// The word in statistics.
    pub const fn name(&self) -> &'static str {
        match self.result {
            Ok(_) => "pass",
            Err(refusal) => refusal.name(),
        }
    }

    /// Appends the bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (refusal, assurance) = match self.result {
            Ok(assurance) => (0, assurance.to_byte()),
            Err(refusal) => (refusal.to_byte(), 0),
        };
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&[refusal, assurance]);
        out.extend_from_slice(&self.subject);
    }
}

/// Reads the entries of a row; none if it holds something else.
#[cfg(test)]
fn decode(content: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = content.as_chunks::<LENGTH>();
    if !rest.is_empty() {
        return None;
    }
    entries.iter().map(entry).collect()
}

#[cfg(test)]
fn entry(bytes: &[u8; LENGTH]) -> Option<Entry> {
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    let ([refusal, assurance], subject) = rest.split_first_chunk::<2>()?;
    let result = match refusal {
        0 => Ok(Assurance::from_byte(*assurance)?),
        refusal => Err(Refusal::from_byte(*refusal)?),
    };
    Some(Entry {
        time: i64::from_be_bytes(*time),
        result,
        subject: subject.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back() {
        let entries = [
            Entry {
                time: -5,
                result: Ok(Assurance::Attested),
                subject: [7; 32],
            },
            Entry {
                time: 9,
                result: Err(Refusal::Revoked),
                subject: [0; 32],
            },
        ];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write(&mut bytes));
        assert_eq!(decode(&bytes).unwrap(), entries);
        assert_eq!(decode(&bytes[1..]), None);
    }
}
