//! A validator's answer about one digest.

use anyhow::{Context as _, bail};
use birthmark_ledger::Source;
use birthmark_protocol::{Assurance, Digest};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

/// What `GET /api/v1/verify/{hash}` says. A validator may be older than this program: only `verified` must be there.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    /// Whether the digest is in the registry.
    pub verified: bool,
    /// When the camera says the photo was taken.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// When the block was agreed on, as the validator writes it.
    #[serde(default)]
    pub block_time: Option<String>,
    /// Which block.
    #[serde(default)]
    pub block_height: Option<u64>,
    /// Who took the proof in.
    #[serde(default)]
    pub aggregator: Option<String>,
    /// How strongly it is vouched for.
    #[serde(default)]
    pub assurance: Option<Assurance>,
    /// What kind of device brought it. Older validators say of cameras only.
    #[serde(default)]
    pub source: Option<Source>,
    /// Which model of camera, or which software.
    #[serde(default)]
    pub device_family: Option<String>,
    /// Who vouched.
    #[serde(default)]
    pub authority: Option<String>,
    /// How far from the sensor.
    #[serde(default)]
    pub modification_level: Option<u8>,
    /// What the authority has withdrawn, if anything.
    #[serde(default)]
    pub revocation: Option<String>,
    /// A sentence that may be quoted.
    #[serde(default)]
    pub finding: Option<String>,
    /// What is not proven.
    #[serde(default)]
    pub not_proven: Vec<String>,
}

impl Answer {
    /// What kind of device brought the record, as far as the validator says.
    pub fn source(&self) -> Option<Source> {
        self.source.or(self.assurance.map(Source::camera))
    }
}

/// Asks validators.
#[derive(Clone, Debug)]
pub struct Validator {
    base: reqwest::Url,
    client: reqwest::Client,
}

impl Validator {
    /// A validator at an http(s) address.
    pub fn at(address: &str) -> anyhow::Result<Self> {
        let base: reqwest::Url = address
            .parse()
            .with_context(|| format!("--node: `{address}` is not an address"))?;
        if !matches!(base.scheme(), "http" | "https") {
            bail!("--node: `{address}` does not begin with http:// or https://");
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!("birthmark/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_secs(5))
            .timeout(std::time::Duration::from_secs(20))
            .build()?;
        Ok(Self { base, client })
    }

    /// Asks for the height of the last block.
    pub async fn height(&self) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Status {
            block_height: u64,
        }
        let response = self
            .client
            .get(self.base.join("api/v1/status")?)
            .send()
            .await;
        let response =
            response.with_context(|| format!("the validator at {} does not answer", self.base))?;
        let status: Status = response
            .json()
            .await
            .with_context(|| format!("what answers at {} is not a validator", self.base))?;
        Ok(status.block_height)
    }

    /// Looks a digest up.
    pub async fn verify(&self, digest: &Digest) -> anyhow::Result<Answer> {
        let url = self.base.join(&format!("api/v1/verify/{digest}"))?;
        let response = self
            .client
            .get(url)
            .send()
            .await
            .with_context(|| format!("the validator at {} does not answer", self.base))?;
        match response.status() {
            StatusCode::OK | StatusCode::NOT_FOUND => {}
            status => bail!("the validator at {} answered {status}", self.base),
        }
        response
            .json()
            .await
            .with_context(|| format!("what answers at {} is not a validator", self.base))
    }
}
