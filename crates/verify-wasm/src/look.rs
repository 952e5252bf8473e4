//! What the page hands over and gets back, in texts.

use birthmark_ledger::Genesis;
use birthmark_ledger::genesis::GenesisError;
use birthmark_protocol::{Digest, DigestError};
use birthmark_verify::answer::{Answers, Choice, choose as choose_record};
use birthmark_verify::family::Provenance;
use birthmark_verify::{Card, Fetched, FileDigests, Judged, Metadata, judge, subject};
use serde::{Deserialize, Serialize};

/// Checks against one genesis.
#[derive(Debug)]
pub struct Checker {
    genesis: Genesis,
}

/// Which registry is checked against.
#[derive(Debug, Serialize)]
pub struct Registry {
    registry: String,
    genesis: Digest,
}

/// Everything the page has about one file.
#[derive(Debug, Deserialize)]
struct Looked {
    digests: FileDigests,
    choice: Option<Choice>,
    /// The receipt's text, or why there is none.
    receipt: Option<Result<String, String>>,
    provenance: Option<Provenance>,
    metadata: Option<Metadata>,
}

impl Checker {
    /// Reads a genesis.
    pub fn new(genesis: &str) -> Result<Self, GenesisError> {
        Ok(Self {
            genesis: Genesis::from_json(genesis)?,
        })
    }

    /// Names the registry.
    pub fn registry(&self) -> Registry {
        Registry {
            registry: self.genesis.chain_id.to_string(),
            genesis: self.genesis.hash(),
        }
    }

    /// What is shown of one file.
    pub fn card(&self, looked: &str) -> Result<Judged, serde_json::Error> {
        let looked: Looked = serde_json::from_str(looked)?;
        let Some(choice) = &looked.choice else {
            return Ok(Card::unknown(&looked.digests).into());
        };
        let receipt = match &looked.receipt {
            Some(Ok(text)) => Ok(text.as_str()),
            Some(Err(reason)) => Err(reason.as_str()),
            None => Err("the receipt was not fetched"),
        };
        let fetched = Fetched {
            choice,
            receipt,
            provenance: looked.provenance.as_ref(),
            metadata: looked.metadata.as_ref(),
        };
        Ok(judge(&looked.digests, &fetched, &self.genesis))
    }
}

/// The record to ask the receipt of.
pub fn choose(digests: &str, answers: &str) -> Result<Option<Choice>, serde_json::Error> {
    let digests: FileDigests = serde_json::from_str(digests)?;
    let answers: Answers = serde_json::from_str(answers)?;
    let digests: Vec<_> = digests.digests.iter().map(|found| found.digest).collect();
    Ok(choose_record(&answers.results, &digests))
}

/// A digest as people paste it.
pub fn typed(text: &str) -> Result<FileDigests, DigestError> {
    Ok(FileDigests::of_digest(subject::typed_digest(text)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../spec/vectors/ledger.json")).unwrap()
    }

    #[test]
    fn a_page_gets_from_digest_to_card_and_nothing_else_says_registered() {
        let vectors = vectors();
        let checker = Checker::new(&vectors["genesis"].to_string()).unwrap();
        let receipt = &vectors["receipt"];
        let digest = receipt["record"]["images"][0]["digest"].as_str().unwrap();
        let index = &receipt["proof"]["index"];
        let digests = serde_json::to_value(typed(&format!(" sha256:{digest}  photo.jpg")).unwrap());
        let digests = digests.unwrap();
        let answers = json!({"results": [{"verified": true, "image_hash": digest,
            "records": [{"index": index, "source": "camera-attested"}]}]});
        let choice = choose(&digests.to_string(), &answers.to_string()).unwrap();

        let card = |receipt: Value| {
            let looked = json!({"digests": digests, "choice": choice, "receipt": receipt});
            checker.card(&looked.to_string()).unwrap().card
        };
        assert!(card(json!({"Ok": receipt.to_string()})).holds());
        for bad in [json!({"Ok": "{}"}), json!({"Err": "nothing"}), Value::Null] {
            assert!(!card(bad).headline.contains("Registered"));
        }
        let unknown = json!({"digests": digests, "choice": null});
        let unknown = checker.card(&unknown.to_string()).unwrap().card;
        assert_eq!(unknown.headline, "No record found");
        assert_eq!(
            checker.registry().registry,
            vectors["genesis"]["chain_id"].as_str().unwrap()
        );
    }
}
