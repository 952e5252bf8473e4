//! Sends an edit to a validator and waits for what becomes of it. Sending twice is harmless: the
//! answer is the same.

use std::time::Duration;

use anyhow::{Context as _, bail};
use birthmark_client::{CallError, Validator};
use birthmark_ledger::Receipt;
use birthmark_protocol::EditSubmission;
use birthmark_protocol::api::Stage;
use tokio::time::{Instant, sleep};

use crate::verify::answer::options;

/// How often the validator is asked.
const EVERY: Duration = Duration::from_millis(500);

/// What became of it.
pub enum Fate {
    /// It is in a block; nothing of the receipt is checked yet.
    Stored(Box<Receipt>),
    /// It will never be, and why.
    Refused(String),
}

/// Submits to one validator.
pub struct Submitter {
    validator: Validator,
    until: Instant,
}

impl Submitter {
    pub fn new(node: &str, wait: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            validator: Validator::new(node, &options()).context("--node")?,
            until: Instant::now() + wait,
        })
    }

    /// Sends it and waits until it is decided; the submission's name if it was accepted.
    pub async fn submit(&self, request: &EditSubmission) -> anyhow::Result<(Option<String>, Fate)> {
        loop {
            match self.validator.submit(request).await {
                Ok(accepted) => {
                    let fate = self.decided(&accepted.receipt_id).await?;
                    return Ok((Some(accepted.receipt_id), fate));
                }
                Err(CallError::Refused {
                    status: 400 | 413 | 422,
                    reason,
                }) => return Ok((None, Fate::Refused(reason))),
                Err(error) => self.come_back(error).await?,
            }
        }
    }

    async fn decided(&self, receipt_id: &str) -> anyhow::Result<Fate> {
        loop {
            let fate = match self.validator.fate(receipt_id).await {
                Ok(Some(fate)) => fate,
                Ok(None) => bail!("{} has forgotten the submission", self.name()),
                Err(error) => {
                    self.come_back(error).await?;
                    continue;
                }
            };
            match (fate.status, fate.receipt) {
                (Stage::Stored, Some(receipt)) => {
                    let receipt = serde_json::from_str(receipt.get());
                    return Ok(Fate::Stored(
                        receipt.context("the validator sent no receipt")?,
                    ));
                }
                (Stage::Rejected, _) => {
                    let reason = fate.reason.unwrap_or_else(|| "no reason was given".into());
                    return Ok(Fate::Refused(reason));
                }
                _ => self.pause(EVERY, receipt_id).await?,
            }
        }
    }

    /// Waits if the validator is busy; anything else is an error at once.
    async fn come_back(&self, error: CallError) -> anyhow::Result<()> {
        let CallError::Busy { retry_after, .. } = &error else {
            return Err(error).with_context(|| self.name());
        };
        let after = retry_after.map_or(EVERY, |asked| asked);
        self.pause(after, &error.to_string()).await
    }

    async fn pause(&self, pause: Duration, what: &str) -> anyhow::Result<()> {
        if Instant::now() + pause > self.until {
            bail!("waited long enough ({what}); the same command goes on where this one stopped");
        }
        sleep(pause).await;
        Ok(())
    }

    fn name(&self) -> String {
        format!("the validator at {}", self.validator.address())
    }
}
