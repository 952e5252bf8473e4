//! One validation that passed, in the log: 41 bytes.

use birthmark_protocol::Assurance;

use super::Outcome;
use crate::keep::vault::Vault;

/// The bytes of one entry.
pub(super) const LENGTH: usize = 8 + 1 + 32;

/// One pass as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub time: i64,
    /// What was vouched for.
    pub assurance: Assurance,
    /// A keyed digest of the commitment; zeros if there was none.
    pub subject: [u8; 32],
}

impl Entry {
    /// What is kept of an outcome: nothing of a refusal.
    pub fn of(vault: &Vault, outcome: &Outcome) -> Option<Self> {
        let subject = |commitment: birthmark_protocol::Commitment| {
            vault.audit_digest(&[b"birthmark/audit/subject/v1", commitment.as_bytes()])
        };
        Some(Self {
            time: outcome.time.unix(),
            assurance: outcome.result.ok()?,
            subject: outcome.commitment.map_or([0; 32], subject),
        })
    }

    /// Appends the bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_be_bytes());
        out.push(self.assurance.to_byte());
        out.extend_from_slice(&self.subject);
    }
}

/// Reads the entries of a row; none if it holds something else.
#[cfg(test)]
fn decode(content: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = content.as_chunks::<LENGTH>();
    let entry = |bytes: &[u8; LENGTH]| {
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let ([assurance], subject) = rest.split_first_chunk::<1>()?;
        Some(Entry {
            time: i64::from_be_bytes(*time),
            assurance: Assurance::from_byte(*assurance)?,
            subject: subject.try_into().ok()?,
        })
    };
    rest.is_empty()
        .then(|| entries.iter().map(entry).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back() {
        let entry = |time, assurance, byte| Entry {
            time,
            assurance,
            subject: [byte; 32],
        };
        let entries = [
            entry(-5, Assurance::Attested, 7),
            entry(9, Assurance::Token, 0),
        ];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write(&mut bytes));
        assert_eq!(decode(&bytes).unwrap(), entries);
        assert_eq!(decode(&bytes[1..]), None);
    }
}
