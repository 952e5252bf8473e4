//! A validator's answer about one digest.

use anyhow::Context as _;
use birthmark_client::Options;
use birthmark_protocol::Digest;
use birthmark_protocol::api::Finding;

/// What `GET /api/v1/verify/{hash}` says. A validator may be older than this program.
pub type Answer = Finding<'static>;

/// How this program's clients of validators and authorities behave.
pub fn options() -> Options {
    Options {
        user_agent: concat!("birthmark/", env!("CARGO_PKG_VERSION")),
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

    /// Looks a digest up.
    pub async fn verify(&self, digest: &Digest) -> anyhow::Result<Answer> {
        self.0.verify(digest).await.with_context(|| self.name())
    }

    fn name(&self) -> String {
        format!("the validator at {}", self.0.address())
    }
}
