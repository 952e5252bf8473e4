//! A validator's answers, as far as anything is made of them: which record to ask the receipt of,
//! and what was withdrawn.
//!
//! Everything else is read from the receipt. A validator may be older than this program, so little
//! has to be there.

use birthmark_ledger::{Receipt, Source};
use birthmark_protocol::Digest;
use birthmark_protocol::api::Notice;
use serde::{Deserialize, Serialize};

use crate::sighted::strength;

/// What `POST /api/v1/verify` answers.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Answers {
    /// One for each digest, in the order of the question.
    pub results: Vec<Answer>,
}

/// The answer about one digest.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Whether the validator says that it has a record.
    pub verified: bool,
    /// What was asked.
    pub image_hash: Digest,
    /// What was withdrawn of the strongest record.
    #[serde(default)]
    pub revocation: Option<String>,
    /// Every record of this digest.
    #[serde(default)]
    pub records: Vec<RecordAnswer>,
}

/// The answer about one record.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordAnswer {
    /// Its place in the registry.
    pub index: u64,
    /// Who brought it.
    pub source: Source,
    /// What was withdrawn.
    #[serde(default)]
    pub revocation: Option<String>,
}

/// The record whose receipt is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// The digest it was found by.
    pub digest: Digest,
    /// Its place in the registry, where the validator says it.
    pub index: Option<u64>,
    /// What was withdrawn.
    pub notices: Notices,
}

/// What a validator knows against a record. No receipt can tell it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Notices {
    /// What was withdrawn of the record itself.
    pub own: Option<String>,
    /// What was withdrawn of an image that it was made from.
    pub parent: Option<String>,
    /// What was withdrawn of other records of the same data.
    pub others: Vec<String>,
    /// How many other records there are.
    pub other_records: usize,
}

impl Answer {
    /// What is answered about a digest by receipts that hold: every record that holds it, with what
    /// is known against it.
    pub fn proven<'a>(
        digest: &Digest,
        receipts: impl IntoIterator<Item = (u64, &'a Receipt)>,
        notices: &[Notice],
    ) -> Self {
        let holds = |(_, receipt): &(u64, &Receipt)| receipt.record.image(digest).is_some();
        let record = |(index, receipt): (u64, &Receipt)| RecordAnswer {
            index,
            source: receipt.record.origin().source,
            revocation: against(receipt, notices),
        };
        let records: Vec<_> = receipts.into_iter().filter(holds).map(record).collect();
        Self {
            verified: !records.is_empty(),
            image_hash: *digest,
            revocation: None,
            records,
        }
    }

    /// The strongest record that was not withdrawn, of equals the oldest; nothing if there is no
    /// record.
    pub fn choice(&self) -> Option<Choice> {
        if !self.verified {
            return None;
        }
        let strongest = self.records.iter().min_by_key(|record| {
            (
                record.revocation.is_some(),
                strength(record.source),
                record.index,
            )
        });
        let others = self
            .records
            .iter()
            .filter(|record| strongest.is_some_and(|strongest| strongest.index != record.index));
        Some(Choice {
            digest: self.image_hash,
            index: strongest.map(|record| record.index),
            notices: Notices {
                own: strongest.map_or_else(
                    || self.revocation.clone(),
                    |record| record.revocation.clone(),
                ),
                parent: None,
                others: others
                    .clone()
                    .filter_map(|record| record.revocation.clone())
                    .collect(),
                other_records: others.count(),
            },
        })
    }
}

/// What is known against a record: the first of these notices that concerns it.
pub fn against(receipt: &Receipt, notices: &[Notice]) -> Option<String> {
    let (origin, registered) = (receipt.record.origin(), receipt.header.time.timestamp());
    let (authority, family) = (origin.authority.as_str(), origin.family.as_str());
    let concerns = |notice: &&Notice| notice.concerns(authority, family, registered);
    notices.iter().find(concerns).map(|one| one.reason.clone())
}

/// The first of a file's digests that a record is said to exist of.
pub fn choose(answers: &[Answer], digests: &[Digest]) -> Option<Choice> {
    digests.iter().find_map(|digest| {
        answers
            .iter()
            .find(|answer| answer.image_hash == *digest)?
            .choice()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Vec<Answer> {
        serde_json::from_str::<Answers>(text).unwrap().results
    }

    fn hash(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn the_whole_file_goes_before_its_picture_and_strength_before_age() {
        let (one, two) = (hash(1), hash(2));
        let answers = answers(&format!(
            r#"{{"results": [
                {{"verified": true, "image_hash": "{two}", "records": [{{"index": 1, "source": "server"}}]}},
                {{"verified": true, "image_hash": "{one}", "records": [
                    {{"index": 4, "source": "camera-token"}},
                    {{"index": 7, "source": "camera-attested"}},
                    {{"index": 2, "source": "camera-attested", "revocation": "firmware 2.0"}}]}}]}}"#
        ));
        let choice = choose(&answers, &[one, two]).unwrap();
        assert_eq!((choice.digest, choice.index), (one, Some(7)));
        assert_eq!(choice.notices.own, None);
        assert_eq!(choice.notices.others, ["firmware 2.0"]);
        assert_eq!(choice.notices.other_records, 2);
    }

    #[test]
    fn a_bare_yes_is_enough_to_ask_for_a_receipt_and_a_no_is_not() {
        let digest = hash(1);
        let bare = answers(&format!(
            r#"{{"results": [{{"verified": true, "image_hash": "{digest}", "revocation": "all of it"}}]}}"#
        ));
        let choice = choose(&bare, &[digest]).unwrap();
        assert_eq!(
            (choice.index, choice.notices.own.as_deref()),
            (None, Some("all of it"))
        );
        let no = answers(&format!(
            r#"{{"results": [{{"verified": false, "image_hash": "{digest}"}}]}}"#
        ));
        assert_eq!(choose(&no, &[digest]), None);
        assert_eq!(choose(&bare, &[hash(2)]), None);
    }
}
