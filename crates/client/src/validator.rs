//! A validator as cameras, commands and other readers see it.

use std::path::Path;

use birthmark_protocol::Digest;
use birthmark_protocol::api::{
    Accepted, ChangeTaken, EpochStatements, Fate, Finding, Findings, Question, Status,
};
use birthmark_protocol::one_time::OneTimeSubmission;
use serde::Serialize;

use crate::answer::Answer;
use crate::error::{CallError, SetupError};
use crate::http::{HttpClient, Options};

/// Asks one validator.
#[derive(Debug, Clone)]
pub struct Validator(HttpClient);

impl Validator {
    /// The validator at `address`.
    pub fn new(address: &str, options: &Options) -> Result<Self, SetupError> {
        HttpClient::new(address, options).map(Self)
    }

    /// The validator that listens on this socket of the same machine.
    pub fn on_socket(socket: &Path, options: &Options) -> Result<Self, SetupError> {
        HttpClient::on_socket(socket, options).map(Self)
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.0.address().as_str()
    }

    /// Whether nobody on the way can read along or answer in its place: TLS, or this machine
    /// itself.
    pub fn is_confidential(&self) -> bool {
        self.0.is_confidential()
    }

    /// Hands a photo in, or an edit of one: whatever `/api/v1/submit-cert` takes.
    pub async fn submit(&self, request: &impl Serialize) -> Result<Accepted, CallError> {
        let accepted: Accepted = self.0.post("api/v1/submit-cert", request).await?.json()?;
        match is_plain(&accepted.receipt_id) {
            true => Ok(accepted),
            false => Err(CallError::Nonsense(
                "its receipt number is no number".into(),
            )),
        }
    }

    /// Hands a photo under a one-time key in.
    pub async fn submit_once(&self, request: &OneTimeSubmission) -> Result<Accepted, CallError> {
        let fields = request.to_json().map_err(CallError::nonsense)?;
        let fields: serde_json::Value =
            serde_json::from_slice(&fields).map_err(CallError::nonsense)?;
        let accepted: Accepted = self.0.post("api/v1/submit-once", &fields).await?.json()?;
        match is_plain(&accepted.receipt_id) {
            true => Ok(accepted),
            false => Err(CallError::Nonsense(
                "its receipt number is no number".into(),
            )),
        }
    }

    /// What is registered about the epochs of a family.
    pub async fn epochs(
        &self,
        authority: &str,
        family: &str,
    ) -> Result<EpochStatements, CallError> {
        let mut path = "api/v1/epochs?".to_owned();
        let query = [("authority", authority), ("family", family)];
        for (name, value) in query {
            path.push_str(name);
            path.push('=');
            for byte in value.bytes() {
                path.push_str(&format!("%{byte:02X}"));
            }
            path.push('&');
        }
        self.0.get(path.trim_end_matches('&')).await?.json()
    }

    /// What became of a submission; none if the validator does not remember it.
    pub async fn fate(&self, receipt_id: &str) -> Result<Option<Fate>, CallError> {
        if !is_plain(receipt_id) {
            return Err(CallError::Nonsense("no receipt number".into()));
        }
        let answer = self
            .0
            .get(&format!("api/v1/submission/{receipt_id}"))
            .await?;
        answer.found()?.map(Answer::json).transpose()
    }

    /// What is known about a digest. That nothing is known is an answer, too.
    pub async fn verify(&self, digest: &Digest) -> Result<Finding<'static>, CallError> {
        let answer = self.0.get(&format!("api/v1/verify/{digest}")).await?;
        let finding: Finding<'static> = match answer.status() {
            // "Not registered" is a 404 with the same fields, and no error.
            404 => serde_json::from_slice(answer.body()).map_err(CallError::nonsense)?,
            _ => answer.json()?,
        };
        match finding.image_hash == *digest {
            true => Ok(finding),
            false => Err(CallError::Nonsense(
                "it answers about another digest".into(),
            )),
        }
    }

    /// What is known about each of up to 1,000 digests, in their order.
    pub async fn verify_all(&self, digests: &[Digest]) -> Result<Findings<'static>, CallError> {
        let image_hashes = digests.to_vec();
        let question = Question { image_hashes };
        self.0.post("api/v1/verify", &question).await?.json()
    }

    /// The receipt of one of a digest's records, named by its index in the registry; of the oldest
    /// without one.
    pub async fn receipt(
        &self,
        digest: &Digest,
        index: Option<u64>,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let index = index.map_or_else(String::new, |index| format!("?index={index}"));
        self.file(&format!("api/v1/receipt/{digest}{index}")).await
    }

    /// What an image was made from and what was made from it, as JSON text. Nothing of it is
    /// proven.
    pub async fn provenance(&self, digest: &Digest) -> Result<String, CallError> {
        self.text(&format!("api/v1/provenance/{digest}")).await
    }

    /// What the registry starts from, as JSON text. Nothing of it is proven.
    pub async fn genesis(&self) -> Result<String, CallError> {
        self.text("api/v1/genesis").await
    }

    /// The newest block's header and the decision behind it, as JSON text, with the changes of
    /// validators from height `since` on. Nothing of it is proven; none if there is no block yet.
    pub async fn head(&self, since: u64) -> Result<Option<String>, CallError> {
        let answer = self.0.get(&format!("api/v1/head?since={since}")).await?;
        let found = answer.found()?.map(Answer::text).transpose()?;
        Ok(found.map(|text| text.as_str().to_owned()))
    }

    /// The newest signed checkpoint, as the text that was signed.
    pub async fn checkpoint(&self) -> Result<String, CallError> {
        self.text("api/v1/checkpoint").await
    }

    /// The proof that the tree of `old` records is the beginning of the tree of `new` records.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<String, CallError> {
        self.text(&format!("api/v1/consistency?old={old}&new={new}"))
            .await
    }

    /// A file of the registry, which a mirror may have as well; none if it is not there.
    pub async fn file(&self, path: &str) -> Result<Option<Vec<u8>>, CallError> {
        let answer = self.0.get(path).await?;
        match answer.status() {
            404 => Ok(None),
            _ => Ok(Some(answer.success()?.to_vec())),
        }
    }

    /// Hands a change of validators in.
    pub async fn change_members(&self, change: &impl Serialize) -> Result<ChangeTaken, CallError> {
        self.0.post("api/v1/members/change", change).await?.json()
    }

    /// How it is doing.
    pub async fn status(&self) -> Result<Status, CallError> {
        self.0.get("api/v1/status").await?.json()
    }

    async fn text(&self, path: &str) -> Result<String, CallError> {
        let text = self.0.get(path).await?.text()?;
        Ok(text.as_str().to_owned())
    }
}

/// A receipt number becomes part of a path: it must be one plain word.
fn is_plain(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_number_cannot_leave_its_path() {
        assert!(is_plain("7b8f3f2e-0000-4000-8000-000000000000"));
        for wrong in ["", "../verify", "a/b", "a?b", "a b"] {
            assert!(!is_plain(wrong));
        }
        assert!(!is_plain(&"a".repeat(129)));
    }
}
