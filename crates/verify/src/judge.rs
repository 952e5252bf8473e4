//! From what a validator sent to what is shown: no receipt that holds, no word that says
//! registered.

use birthmark_ledger::{Receipt, Trusted};
use birthmark_protocol::Digest;
use serde::Serialize;

use crate::answer::{Choice, Notices};
use crate::card::Card;
use crate::family::{Family, Provenance};
use crate::metadata::Metadata;
use crate::proof::{self, Proof};
use crate::subject::FileDigests;

/// What was fetched about a file whose digest a validator says it knows.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// The record that was asked about.
    pub choice: &'a Choice,
    /// The receipt, or why there is none.
    pub receipt: Result<&'a Receipt, &'a str>,
    /// The family, where it was asked for.
    pub provenance: Option<&'a Provenance>,
    /// What the file says about itself, where it was looked at.
    pub metadata: Option<&'a Metadata>,
}

/// What is shown: a card and, of a record that holds, its family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Judged {
    /// The card.
    #[serde(flatten)]
    pub card: Card,
    /// What it was made from and what was made from it.
    pub family: Option<Family>,
}

impl From<Card> for Judged {
    fn from(card: Card) -> Self {
        Self { card, family: None }
    }
}

/// Decides what is shown of a file for which a validator claims a record.
pub fn judge(file: &FileDigests, fetched: &Fetched<'_>, trusted: &Trusted) -> Judged {
    match proven(file, fetched, trusted) {
        Ok(proof) => {
            let index = proof.verified.index;
            let provenance = fetched.provenance;
            let notices = Notices {
                parent: provenance
                    .and_then(|provenance| provenance.parent_notice(index))
                    .or_else(|| fetched.choice.notices.parent.clone()),
                ..fetched.choice.notices.clone()
            };
            Judged {
                card: Card::proven(file, &proof, &notices, fetched.metadata),
                family: provenance.map(|provenance| provenance.family(index)),
            }
        }
        Err(reason) => Card::unproven(file, &reason).into(),
    }
}

fn proven(file: &FileDigests, fetched: &Fetched<'_>, trusted: &Trusted) -> Result<Proof, String> {
    let digests: Vec<Digest> = file.digests.iter().map(|found| found.digest).collect();
    let checked = proof::check(fetched.receipt?, trusted, &digests);
    let proof = checked.map_err(|error| error.to_string())?;
    // What was withdrawn is told of one record; another record's receipt must not stand beside it.
    match fetched.choice.index {
        Some(index) if index != proof.verified.index => Err(format!(
            "the receipt is of record {}, asked was for record {index}",
            proof.verified.index
        )),
        _ => Ok(proof),
    }
}

#[cfg(test)]
mod tests {
    use birthmark_ledger::Genesis;

    use super::*;
    use crate::card::Tone;
    use crate::proof::tests::{proof, vectors};

    struct Asked {
        file: FileDigests,
        choice: Choice,
        receipt: Receipt,
        genesis: Genesis,
    }

    fn asked() -> Asked {
        let (vectors, proof) = (vectors(), proof());
        let digest = proof.sighted().unwrap().digest;
        Asked {
            file: FileDigests::of_digest(digest),
            choice: Choice {
                digest,
                index: Some(proof.verified.index),
                notices: Notices::default(),
            },
            receipt: serde_json::from_value(vectors["receipt"].clone()).unwrap(),
            genesis: Genesis::from_json(&vectors["genesis"].to_string()).unwrap(),
        }
    }

    fn judged(asked: &Asked, receipt: Result<&Receipt, &str>) -> Card {
        let fetched = Fetched {
            choice: &asked.choice,
            receipt,
            provenance: None,
            metadata: None,
        };
        judge(&asked.file, &fetched, &Trusted::genesis(&asked.genesis)).card
    }

    #[test]
    fn an_answer_without_a_receipt_that_holds_is_not_called_registered() {
        let asked = asked();
        let mut bent = asked.receipt.clone();
        bent.header.time = bent.header.time.plus_millis(-1);
        for receipt in [Err("the validator has none"), Ok(&bent)] {
            let card = judged(&asked, receipt);
            assert_eq!((card.tone, card.holds()), (Tone::Unproven, false));
            assert!(!card.headline.contains("Registered"), "{}", card.headline);
        }
        assert!(judged(&asked, Ok(&asked.receipt)).holds());
    }

    #[test]
    fn a_receipt_of_another_registry_or_of_another_record_proves_nothing() {
        let mut other = asked();
        other.choice.index = Some(999);
        let card = judged(&other, Ok(&other.receipt));
        assert!(
            card.sentence.contains("asked was for record 999"),
            "{}",
            card.sentence
        );

        let mut other = asked();
        other.genesis.start = birthmark_protocol::Timestamp::from_unix(1);
        let card = judged(&other, Ok(&other.receipt));
        assert!(
            card.sentence.contains("another registry"),
            "{}",
            card.sentence
        );
    }

    #[test]
    fn a_photo_made_from_a_withdrawn_one_says_so() {
        let asked = asked();
        let text = format!(
            r#"{{"ancestors": [{{"image_hash": "{}", "index": 99, "source": "camera-token", "role": "file",
                "modification_level": 1, "revocation": "firmware 2.0"}}]}}"#,
            "1".repeat(64)
        );
        let provenance: Provenance = serde_json::from_str(&text).unwrap();
        let fetched = Fetched {
            choice: &asked.choice,
            receipt: Ok(&asked.receipt),
            provenance: Some(&provenance),
            metadata: None,
        };
        let judged = judge(&asked.file, &fetched, &Trusted::genesis(&asked.genesis));
        assert_eq!(judged.card.tone, Tone::Withdrawn);
        assert_eq!(judged.family.unwrap().made_from.len(), 1);
    }
}
