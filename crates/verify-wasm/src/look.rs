//! What the page hands over and gets back, in texts.

use birthmark_ledger::{Receipt, ReceiptError, Trusted};
use birthmark_protocol::api::Notices;
use birthmark_protocol::{Digest, DigestError};
use birthmark_verify::family::{Family, Provenance};
use birthmark_verify::private::Session;
use birthmark_verify::{FileDigests, Judged, Kept, Metadata, kept, subject};
use serde::Serialize;

/// Why the page gets nothing.
#[derive(Debug)]
pub enum LookError {
    /// What the page handed over is not what it should be.
    Json(serde_json::Error),
    /// The genesis is none.
    Genesis(birthmark_ledger::GenesisError),
    /// Randomness of another length.
    Seed,
}

/// Which registry is checked against.
#[derive(Debug, Serialize)]
pub struct Registry {
    registry: String,
    genesis: Digest,
    rehearsal: bool,
    validators: usize,
    /// The first block that they decide.
    since: u64,
    /// The hash of the set.
    set: Digest,
}

/// What the page does next.
#[derive(Debug, Default, Serialize)]
pub struct Step {
    /// Files to fetch, below the registry's address; none when nothing is missing.
    fetch: Vec<String>,
    /// Why nothing more is asked: what was answered does not hold.
    refused: Option<String>,
    /// Why nothing was answered.
    failed: Option<String>,
}

/// A question about some files.
#[derive(Debug)]
pub struct Lookup(Session);

/// Names a registry, and which of its validators are trusted.
pub fn registry(trusted: &str) -> Result<Registry, LookError> {
    let trusted = Trusted::from_json(trusted).map_err(LookError::Genesis)?;
    Ok(Registry {
        registry: trusted.chain_id().to_string(),
        genesis: trusted.chain(),
        rehearsal: trusted.is_rehearsal(),
        validators: trusted.validators().len(),
        since: trusted.since().get(),
        set: trusted.validators().hash(),
    })
}

impl Lookup {
    /// Begins a question about files, given as a list of what `finish` gave of each.
    pub fn new(trusted: &str, files: &str, seed: &[u8]) -> Result<Self, LookError> {
        let trusted = Trusted::from_json(trusted).map_err(LookError::Genesis)?;
        let files: Vec<FileDigests> = serde_json::from_str(files).map_err(LookError::Json)?;
        let seed = seed.try_into().map_err(|_| LookError::Seed)?;
        let digests = files.iter().flat_map(|file| &file.digests);
        let digests = digests.map(|found| found.digest);
        Ok(Self(Session::new(trusted, digests, seed)))
    }

    /// What to fetch next.
    pub fn wants(&mut self) -> Step {
        match self.0.wants() {
            Ok(fetch) => Step {
                fetch,
                ..Step::default()
            },
            Err(error) if error.is_contradiction() => Step {
                refused: Some(error.to_string()),
                ..Step::default()
            },
            Err(error) => Step {
                failed: Some(error.to_string()),
                ..Step::default()
            },
        }
    }

    /// Takes a file, or that there is none.
    pub fn take(&mut self, file: &str, bytes: Option<&[u8]>) {
        self.0.take(file, bytes);
    }

    /// What is shown of a file.
    pub fn card(&self, file: &str, metadata: Option<&str>) -> Result<Judged, LookError> {
        let file: FileDigests = serde_json::from_str(file).map_err(LookError::Json)?;
        let metadata: Option<Metadata> = optional(metadata)?;
        Ok(self.0.judge(&file, metadata.as_ref()))
    }

    /// The receipt by which a file is answered about.
    pub fn receipt(&self, file: &str) -> Result<Option<&Receipt>, LookError> {
        let file: FileDigests = serde_json::from_str(file).map_err(LookError::Json)?;
        let choice = self.0.choice(&file);
        Ok(choice.and_then(|choice| self.0.receipt(&choice)))
    }

    /// What the answerer learned, in one sentence.
    pub fn told(&self) -> String {
        self.0.told()
    }
}

/// What is shown of a receipt that somebody kept, to whoever trusts a genesis or a later set: with the file it lies beside, what that says
/// about itself, and what is known against cameras, each as JSON where there is one.
pub fn kept(
    trusted: &str,
    bytes: &[u8],
    file: Option<&str>,
    metadata: Option<&str>,
    notices: Option<&str>,
) -> Result<Judged, LookError> {
    let trusted = Trusted::from_json(trusted).map_err(LookError::Genesis)?;
    let file: Option<FileDigests> = optional(file)?;
    let metadata: Option<Metadata> = optional(metadata)?;
    let notices: Option<Notices> = optional(notices)?;
    let kept = Kept {
        bytes,
        file: file.as_ref(),
        metadata: metadata.as_ref(),
        notices: notices.as_ref().map(|notices| notices.notices.as_slice()),
    };
    Ok(kept.judge(&trusted))
}

/// What a receipt is about, unverified: to find the photo it belongs to.
pub fn about(bytes: &[u8]) -> Result<FileDigests, ReceiptError> {
    Ok(kept::about(&Receipt::parse(bytes)?))
}

fn optional<'a, T: serde::Deserialize<'a>>(text: Option<&'a str>) -> Result<Option<T>, LookError> {
    text.map(serde_json::from_str)
        .transpose()
        .map_err(LookError::Json)
}

/// A record's family as a validator tells it, to whom the photo was named.
pub fn family(provenance: &str, index: u64) -> Result<Family, LookError> {
    let provenance: Provenance = serde_json::from_str(provenance).map_err(LookError::Json)?;
    Ok(provenance.family(index))
}

/// A digest as people paste it.
pub fn typed(text: &str) -> Result<FileDigests, DigestError> {
    Ok(FileDigests::of_digest(subject::typed_digest(text)?))
}

impl std::error::Error for LookError {}

impl std::fmt::Display for LookError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "what the page handed over cannot be read: {error}"),
            Self::Genesis(error) => error.fmt(f),
            Self::Seed => f.write_str("a seed has 32 bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn genesis() -> String {
        let vectors = include_str!("../../../spec/vectors/ledger.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        vectors["genesis"].to_string()
    }

    #[test]
    fn a_page_is_told_what_to_fetch_and_shows_nothing_as_registered_before_it_was_checked() {
        let digest = Digest::of(b"photo");
        let file = serde_json::to_value(typed(&format!(" sha256:{digest}  photo.jpg")).unwrap());
        let file = file.unwrap();
        let files = json!([file]).to_string();
        let mut lookup = Lookup::new(&genesis(), &files, &[1; 32]).unwrap();
        let step = lookup.wants();
        assert_eq!(step.fetch, ["api/v1/head"]);
        let card = lookup.card(&file.to_string(), None).unwrap().card;
        assert!(!card.holds() && card.headline == "It could not be found out");
        lookup.take("api/v1/head", Some(b"<html>"));
        let step = lookup.wants();
        assert!(step.fetch.is_empty() && step.refused.is_some(), "{step:?}");
        let card = lookup.card(&file.to_string(), None).unwrap().card;
        assert!(
            card.headline.starts_with("The answer was refused"),
            "{}",
            card.headline
        );
        assert!(lookup.receipt(&file.to_string()).unwrap().is_none());
    }

    #[test]
    fn a_registry_without_an_index_is_no_refusal() {
        let mut lookup = Lookup::new(&genesis(), "[]", &[1; 32]).unwrap();
        lookup.wants();
        lookup.take("api/v1/head", None);
        let step = lookup.wants();
        assert!(step.refused.is_none() && step.failed.is_some(), "{step:?}");
        assert!(matches!(
            Lookup::new(&genesis(), "[]", &[1; 31]),
            Err(LookError::Seed)
        ));
        assert!(matches!(
            Lookup::new("{}", "[]", &[1; 32]),
            Err(LookError::Genesis(_))
        ));
    }
}
