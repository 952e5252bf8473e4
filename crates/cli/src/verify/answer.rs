//! A validator's answer about one digest.

use anyhow::Context as _;
use birthmark_client::Options;
use birthmark_ledger::Genesis;
use birthmark_protocol::Digest;
use birthmark_protocol::api::Finding;
use birthmark_verify::answer::Answers;
use birthmark_verify::family::Provenance;

use crate::demonstration::USUAL_VALIDATOR;

/// What a validator takes in one question.
const DIGESTS_PER_QUESTION: usize = 1000;

/// What `GET /api/v1/verify/{hash}` says. A validator may be older than this program.
pub type Answer = Finding<'static>;

/// How this program's clients of validators and authorities behave.
pub fn options() -> Options {
    Options {
        user_agent: concat!("birthmark/", env!("CARGO_PKG_VERSION")),
        // A part of the registry is up to three full blocks, or a thousand small ones with their
        // certificates.
        largest_answer: 32 << 20,
        // Where a person sits, the way out may lead through a proxy.
        proxy: true,
        ..Options::default()
    }
}

/// Asks validators.
#[derive(Clone, Debug)]
pub struct Validator(birthmark_client::Validator);

impl Validator {
    /// A validator at an http(s) address.
    pub fn at(address: &str) -> anyhow::Result<Self> {
        let validator = birthmark_client::Validator::new(address, &options());
        validator.map(Self).context("--node")
    }

    /// Asks for the height of the last block.
    pub async fn height(&self) -> anyhow::Result<u64> {
        let status = self.0.status().await;
        Ok(status.with_context(|| self.name())?.block_height)
    }

    /// Looks many digests up, as many as fit into one question at a time.
    pub async fn verify_all(
        &self,
        digests: &[Digest],
    ) -> anyhow::Result<Vec<birthmark_verify::answer::Answer>> {
        let mut found = Vec::with_capacity(digests.len());
        for some in digests.chunks(DIGESTS_PER_QUESTION) {
            let answers = self.0.verify_all(some).await.with_context(|| self.name())?;
            // The verifier reads only what it has a use for.
            let answers: Answers = serde_json::from_value(serde_json::to_value(answers)?)?;
            found.extend(answers.results);
        }
        Ok(found)
    }

    /// The receipt of a record as the validator wrote it.
    pub async fn receipt(&self, digest: &Digest, index: Option<u64>) -> anyhow::Result<Vec<u8>> {
        let receipt = self.0.receipt(digest, index).await;
        let receipt = receipt.with_context(|| self.name())?;
        receipt.with_context(|| format!("{} has no receipt of it", self.name()))
    }

    /// What an image was made from and what was made from it.
    pub async fn provenance(&self, digest: &Digest) -> anyhow::Result<Provenance> {
        let text = self
            .0
            .provenance(digest)
            .await
            .with_context(|| self.name())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A file of the registry; none if it is not there.
    pub async fn file(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        self.0.file(path).await.with_context(|| self.name())
    }

    /// The genesis that this validator itself shows. Nothing of it is proven.
    pub async fn own_genesis(&self) -> anyhow::Result<Genesis> {
        let text = self.0.genesis().await.with_context(|| self.name())?;
        Ok(Genesis::from_json(&text)?)
    }

    /// Where this validator shows its own genesis.
    pub fn genesis_address(&self) -> String {
        format!("{}/api/v1/genesis", self.0.address().trim_end_matches('/'))
    }

    /// Looks a digest up.
    pub async fn verify(&self, digest: &Digest) -> anyhow::Result<Answer> {
        self.0.verify(digest).await.with_context(|| self.name())
    }

    fn name(&self) -> String {
        let address = self.0.address().trim_end_matches('/');
        match address == USUAL_VALIDATOR {
            // Nobody has said which one to ask.
            true => {
                format!("the validator at {address} (--node or BIRTHMARK_NODE names another)")
            }
            false => format!("the validator at {address}"),
        }
    }
}
