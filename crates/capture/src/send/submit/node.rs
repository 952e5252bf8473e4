//! The validator as a camera asks it. Whatever comes back is a stranger's bytes.

use std::path::PathBuf;
use std::time::Duration;

use birthmark_client::{CallError, Options, Url, Validator};
use birthmark_ledger::{Genesis, Head, Height, Receipt};
use birthmark_protocol::api::{Fate as Standing, Stage};
use birthmark_protocol::one_time::OneTimeSubmission;
use birthmark_protocol::submission::OurSubmission;

pub use birthmark_client::SetupError;

const CONNECTING: Duration = Duration::from_secs(10);
const ANSWERING: Duration = Duration::from_secs(30);

/// Why the node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It did not do it now; later it may.
    #[error("the node {0}")]
    Call(CallError),
    /// It read the proof and will never take it.
    #[error("the node refuses the proof: {0}")]
    Refused(String),
}

impl NodeError {
    /// When the node wants to be asked again.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after(),
            Self::Refused(_) => None,
        }
    }
}

impl From<CallError> for NodeError {
    /// Only what says that the proof itself is wrong puts it aside; an address or a token that is
    /// wrong can be mended.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused {
                status: 400 | 413 | 422,
                reason,
            } => Self::Refused(reason),
            error => Self::Call(error),
        }
    }
}

/// A proof as it is handed in.
pub enum Request {
    /// Under the camera's certificate.
    Certificate(Box<OurSubmission>),
    /// Under a one-time key.
    Once(Box<OneTimeSubmission>),
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Pending,
    /// The node says that it is in the registry, and shows this receipt. Nothing of it is checked
    /// yet.
    Stored(Box<Receipt>),
    /// It was checked and rejected.
    Rejected(String),
    /// The node does not know it.
    Forgotten,
}

/// How validators are reached.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// A certificate authority that is trusted besides those of the system: a PEM file.
    pub certificate_authority: Option<PathBuf>,
    /// A SOCKS proxy on the way, such as Tor's.
    pub socks: Option<Url>,
    /// Whether every request has a connection of its own, so that no two photos share one.
    pub apart: bool,
}

impl Line {
    /// What every request to a validator keeps to.
    pub fn options(&self) -> Options {
        Options {
            user_agent: concat!("birthmark-capture/", env!("CARGO_PKG_VERSION")),
            connect_timeout: CONNECTING,
            timeout: ANSWERING,
            certificate_authority: self.certificate_authority.clone(),
            socks: self.socks.clone(),
            apart: self.apart,
            ..Options::default()
        }
    }
}

/// A validator node.
#[derive(Debug, Clone)]
pub struct Node(Validator);

impl Node {
    /// The node at `address`.
    pub fn new(address: &str, line: &Line) -> Result<Self, SetupError> {
        Validator::new(address, &line.options()).map(Self)
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.0.address()
    }

    /// Whether nobody else can answer in its place: TLS names it, or the line does not leave this
    /// machine.
    pub fn is_who_it_says(&self) -> bool {
        self.0.is_confidential()
    }

    /// Hands a proof in; the answer is the node's number for it.
    pub async fn submit(&self, request: &Request) -> Result<String, NodeError> {
        let accepted = match request {
            Request::Certificate(request) => self.0.submit(request).await?,
            Request::Once(request) => self.0.submit_once(request).await?,
        };
        Ok(accepted.receipt_id)
    }

    /// Asks what became of a submission.
    pub async fn fate(&self, receipt_id: &str) -> Result<Fate, NodeError> {
        match self.0.fate(receipt_id).await {
            Ok(Some(standing)) => fate_of(standing).map_err(NodeError::Call),
            Ok(None) => Ok(Fate::Forgotten),
            // A question about a submission is no proof: whatever is said about it puts none aside.
            Err(error) => Err(NodeError::Call(error)),
        }
    }

    /// The newest block that the node has, with the changes of validators from `since` on; none if
    /// there is none yet. Nothing of it is checked yet.
    pub async fn head(&self, since: Height) -> Result<Option<Head>, NodeError> {
        let text = self.0.head(since.get()).await.map_err(NodeError::Call)?;
        let head = text.map(|text| Head::from_json(&text)).transpose();
        head.map_err(|error| NodeError::Call(CallError::nonsense(error)))
    }

    /// What the node's registry starts from, as the node says.
    pub async fn genesis(&self) -> Result<Genesis, NodeError> {
        let text = self.0.genesis().await.map_err(NodeError::Call)?;
        Genesis::from_json(&text).map_err(|error| NodeError::Call(CallError::nonsense(error)))
    }
}

fn fate_of(standing: Standing) -> Result<Fate, CallError> {
    match (standing.status, standing.receipt) {
        (Stage::PendingValidation | Stage::Validated, _) => Ok(Fate::Pending),
        (Stage::Rejected, _) => {
            let unsaid = || "no reason was given".to_owned();
            Ok(Fate::Rejected(standing.reason.unwrap_or_else(unsaid)))
        }
        // Only a receipt lets a proof go.
        (Stage::Stored, Some(receipt)) => {
            let receipt: Receipt =
                serde_json::from_str(receipt.get()).map_err(CallError::nonsense)?;
            Ok(Fate::Stored(Box::new(receipt)))
        }
        (Stage::Stored, None) => Err(CallError::nonsense("it says stored and gives no receipt")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_who_they_say() {
        let believed = |address: &str| {
            Node::new(address, &Line::default())
                .unwrap()
                .is_who_it_says()
        };
        for address in [
            "https://validator.example",
            "http://localhost:8545",
            "http://127.8.9.10",
            "http://[::1]:8545/registry",
        ] {
            assert!(believed(address), "{address}");
        }
        for address in [
            "http://validator.example",
            "http://192.168.1.4",
            "http://localhost.example",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(!believed(address), "{address}");
        }
    }

    fn fate(answer: &serde_json::Value) -> Result<Fate, CallError> {
        let standing: Standing =
            serde_json::from_value(answer.clone()).map_err(CallError::nonsense)?;
        fate_of(standing)
    }

    #[test]
    fn only_a_receipt_lets_a_proof_go() {
        let answer = |status: &str, receipt: serde_json::Value| json!({"receipt_id": "7b", "received_at": 5, "status": status, "receipt": receipt});
        let nothing = serde_json::Value::Null;
        for status in ["pending_validation", "validated"] {
            assert_eq!(fate(&answer(status, nothing.clone())), Ok(Fate::Pending));
        }
        for nonsense in [
            answer("stored", json!({"block_height": 4})),
            answer("stored", json!("yes")),
            answer("stored", nothing.clone()),
            answer("done", nothing),
            json!([]),
            json!(7),
        ] {
            assert!(matches!(fate(&nonsense), Err(CallError::Nonsense(_))));
        }
    }

    #[test]
    fn only_the_validators_own_refusal_puts_a_proof_aside() {
        let refusal = |status| CallError::Refused {
            status,
            reason: "no".into(),
        };
        for status in [400, 413, 422] {
            let error = NodeError::from(refusal(status));
            assert!(matches!(error, NodeError::Refused(_)), "{status}");
        }
        let others = [401, 403, 404, 409].map(refusal);
        let strange = CallError::Unexpected {
            status: 400,
            reason: "a proxy's page".into(),
        };
        for error in others.into_iter().chain([strange]) {
            assert!(matches!(NodeError::from(error), NodeError::Call(_)));
        }
    }
}
