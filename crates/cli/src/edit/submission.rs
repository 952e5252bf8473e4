//! Sends an edit to a validator and waits for what becomes of it. Sending twice is harmless: the answer is the same.

use std::time::Duration;

use anyhow::{Context as _, bail};
use birthmark_protocol::EditSubmission;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How often the validator is asked.
const EVERY: Duration = Duration::from_millis(500);

/// What became of it.
pub enum Fate {
    /// It is in a block; the receipt as JSON.
    Stored(String),
    /// It will never be, and why.
    Refused(String),
}

/// Submits to one validator.
pub struct Submitter {
    base: reqwest::Url,
    client: reqwest::Client,
    until: Instant,
}

#[derive(Deserialize)]
struct Accepted {
    receipt_id: String,
}

#[derive(Deserialize)]
struct Standing {
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    receipt: Option<Box<serde_json::value::RawValue>>,
}

impl Submitter {
    pub fn new(node: &str, wait: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            base: node.parse().context("--node is not an address")?,
            client: reqwest::Client::builder()
                .user_agent(concat!("birthmark/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(5))
                .timeout(Duration::from_secs(20))
                .build()?,
            until: Instant::now() + wait,
        })
    }

    /// Sends it and waits until it is decided; the submission's name if it was accepted.
    pub async fn submit(&self, request: &EditSubmission) -> anyhow::Result<(Option<String>, Fate)> {
        let url = self.base.join("api/v1/submit-cert")?;
        loop {
            let response = self.client.post(url.clone()).json(request).send().await;
            let response = response
                .with_context(|| format!("the validator at {} does not answer", self.base))?;
            match response.status() {
                StatusCode::ACCEPTED => {
                    let accepted: Accepted = self.read(response).await?;
                    let fate = self.decided(&accepted.receipt_id).await?;
                    return Ok((Some(accepted.receipt_id), fate));
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    self.come_back(response).await?;
                }
                StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                    return Ok((None, Fate::Refused(in_words(&self.read(response).await?))));
                }
                status => bail!("the validator at {} answered {status}", self.base),
            }
        }
    }

    async fn decided(&self, receipt_id: &str) -> anyhow::Result<Fate> {
        let url = self.base.join(&format!("api/v1/submission/{receipt_id}"))?;
        loop {
            let response = self.client.get(url.clone()).send().await;
            let response = response
                .with_context(|| format!("the validator at {} does not answer", self.base))?;
            match response.status() {
                StatusCode::OK => {
                    let standing: Standing = self.read(response).await?;
                    match (standing.status.as_str(), standing.receipt) {
                        ("stored", Some(receipt)) => {
                            return Ok(Fate::Stored(receipt.get().to_owned()));
                        }
                        ("rejected", _) => {
                            let reason = standing.reason.unwrap_or_else(|| "rejected".into());
                            return Ok(Fate::Refused(reason));
                        }
                        _ => self.pause(EVERY, receipt_id).await?,
                    }
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    self.come_back(response).await?;
                }
                status => bail!("the validator at {} answered {status}", self.base),
            }
        }
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        response
            .json()
            .await
            .with_context(|| format!("what answers at {} is not a validator", self.base))
    }

    async fn come_back(&self, response: Response) -> anyhow::Result<()> {
        let after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(EVERY, Duration::from_secs);
        self.pause(after, "the validator is busy").await
    }

    async fn pause(&self, pause: Duration, what: &str) -> anyhow::Result<()> {
        if Instant::now() + pause > self.until {
            bail!("waited long enough ({what}); the same command goes on where this one stopped");
        }
        sleep(pause).await;
        Ok(())
    }
}

/// The sentence of a refusal, or the field that is wrong and why.
fn in_words(body: &Value) -> String {
    let Some(detail) = body.get("detail") else {
        return "the validator gave no reason".into();
    };
    if let Some(sentence) = detail.as_str() {
        return sentence.to_owned();
    }
    let first = detail.get(0).unwrap_or(detail);
    let places = first.get("loc").and_then(Value::as_array);
    let field = places.and_then(|places| places.last()?.as_str());
    let message = first.get("msg").and_then(Value::as_str);
    match (field, message) {
        (Some(field), Some(message)) => format!("{field}: {message}"),
        _ => detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_words() {
        assert_eq!(in_words(&json!({"detail": "no"})), "no");
        let field = json!({"detail": [{"loc": ["body", "timestamp"], "msg": "expected an integer", "type": "x"}]});
        assert_eq!(in_words(&field), "timestamp: expected an integer");
        assert_eq!(in_words(&json!({})), "the validator gave no reason");
    }
}
