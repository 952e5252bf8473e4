//! The validator's two doors a camera uses. Whatever comes back is a stranger's bytes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use birthmark_daemon::reasons::innermost;
use birthmark_ledger::{Genesis, Receipt};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

const CONNECTING: Duration = Duration::from_secs(10);
const ANSWERING: Duration = Duration::from_secs(30);
/// A receipt of a thousand validators is far below this.
const LARGEST_ANSWER: usize = 4 << 20;
/// What of a foreign text is worth logging.
const LONGEST_REASON: usize = 300;

/// Why there is no node to talk to.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none.
    #[error("{0} is not an address of a node")]
    Address(String),
    /// The authority's certificate cannot be used.
    #[error("the certificate {path} cannot be used: {reason}", path = path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No client could be made: most likely this machine trusts no certificate authority at all.
    #[error("no HTTP client could be made (is the package ca-certificates installed?): {0}")]
    Client(String),
}

/// Why the node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The line is bad, or the node is down, or it is another machine than it claims.
    #[error("the node cannot be reached: {0}")]
    Unreachable(String),
    /// It is there and cannot help now.
    #[error("the node is busy: {reason}")]
    Busy {
        /// What it says.
        reason: String,
        /// When to come back, if it says so.
        retry_after: Option<Duration>,
    },
    /// It answers, but not as a validator does.
    #[error("the node answers nonsense: {0}")]
    Nonsense(String),
    /// It read the proof and will never take it.
    #[error("the node refuses the proof: {0}")]
    Refused(String),
}

impl NodeError {
    /// When the node wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Pending,
    /// The node says that it is in the registry, and shows this receipt. Nothing of it is checked yet.
    Stored(Box<Receipt>),
    /// It was checked and rejected.
    Rejected(String),
    /// The node does not know it.
    Forgotten,
}

/// A validator node.
#[derive(Debug, Clone)]
pub struct Node {
    address: Url,
    client: Client,
    submit: Url,
    submissions: Url,
    genesis: Url,
}

#[derive(Deserialize)]
struct Accepted {
    receipt_id: String,
}

impl Node {
    /// The node at `address`; `authority` is trusted besides those of the system.
    pub fn new(address: &str, authority: Option<&Path>) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .connect_timeout(CONNECTING)
            .timeout(ANSWERING)
            .user_agent(concat!("birthmark-capture/", env!("CARGO_PKG_VERSION")))
            // A proof goes to the configured node and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(path) = authority {
            let unusable = |reason: String| SetupError::Authority {
                path: path.to_owned(),
                reason,
            };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .map_err(|error| unusable(error.to_string()))?;
            client = client.tls_certs_merge([certificate]);
        }
        let base = format!("{}/api/v1/", address.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|_| SetupError::Address(address.to_owned()))?;
        let join = |path| {
            base.join(path)
                .map_err(|_| SetupError::Address(address.to_owned()))
        };
        Ok(Self {
            address: Url::parse(address).map_err(|_| SetupError::Address(address.to_owned()))?,
            client: client
                .build()
                .map_err(|error| SetupError::Client(innermost(&error)))?,
            submit: join("submit-cert")?,
            submissions: join("submission/")?,
            genesis: join("genesis")?,
        })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.address.as_str()
    }

    /// Whether nobody else can answer in its place: TLS names it, or the line does not leave this machine.
    pub fn is_who_it_says(&self) -> bool {
        let Some(host) = self.address.host_str() else {
            return false;
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = |address: IpAddr| address.is_loopback();
        self.address.scheme() == "https" || host == "localhost" || host.parse().is_ok_and(is_here)
    }

    /// Hands a proof in; the answer is the node's number for it.
    pub async fn submit(&self, request: &impl Serialize) -> Result<String, NodeError> {
        let response = self
            .client
            .post(self.submit.clone())
            .json(request)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = read(response).await?;
        if status.is_success() {
            let accepted: Accepted = serde_json::from_slice(&body).map_err(nonsense)?;
            return match is_plain(&accepted.receipt_id) {
                true => Ok(accepted.receipt_id),
                false => Err(NodeError::Nonsense(
                    "its receipt number is no number".to_owned(),
                )),
            };
        }
        Err(match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => refusal(&body),
            status => hiccup(status, &body, retry_after),
        })
    }

    /// Asks what became of a submission.
    pub async fn fate(&self, receipt_id: &str) -> Result<Fate, NodeError> {
        let url = self.submissions.join(receipt_id).map_err(nonsense)?;
        let response = self.client.get(url).send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = read(response).await?;
        match status {
            // A 404 counts only if a validator says it: a wrong server must not make us send everything anew.
            StatusCode::NOT_FOUND if detail(&body).is_some() => Ok(Fate::Forgotten),
            status if status.is_success() => read_fate(&body),
            status => Err(hiccup(status, &body, retry_after)),
        }
    }

    /// What the node's registry starts from, as the node says.
    pub async fn genesis(&self) -> Result<Genesis, NodeError> {
        let response = self.client.get(self.genesis.clone()).send().await;
        let response = response.map_err(unreachable)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = read(response).await?;
        if !status.is_success() {
            return Err(hiccup(status, &body, retry_after));
        }
        let text = std::str::from_utf8(&body).map_err(nonsense)?;
        Genesis::from_json(text).map_err(nonsense)
    }
}

/// What of the answer about a submission matters to a camera.
#[derive(Deserialize)]
struct Answer<'a> {
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(borrow, default)]
    receipt: Option<&'a RawValue>,
}

fn read_fate(body: &[u8]) -> Result<Fate, NodeError> {
    let answer: Answer = serde_json::from_slice(body).map_err(nonsense)?;
    let receipt = answer.receipt.filter(|receipt| receipt.get() != "null");
    match (answer.status.as_str(), receipt) {
        ("pending_validation" | "validated", _) => Ok(Fate::Pending),
        ("rejected", _) => {
            let reason = answer.reason.as_deref();
            Ok(Fate::Rejected(shortened(
                reason.unwrap_or("no reason was given"),
            )))
        }
        // Only a receipt lets a proof go.
        ("stored", Some(receipt)) => {
            let receipt = Receipt::from_json(receipt.get()).map_err(nonsense)?;
            Ok(Fate::Stored(Box::new(receipt)))
        }
        ("stored", None) => Err(NodeError::Nonsense(
            "it says stored and gives no receipt".to_owned(),
        )),
        (other, _) => Err(NodeError::Nonsense(format!(
            "status {:?}",
            shortened(other)
        ))),
    }
}

fn nonsense(error: impl std::fmt::Display) -> NodeError {
    NodeError::Nonsense(shortened(&error.to_string()))
}

async fn read(mut response: Response) -> Result<Vec<u8>, NodeError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Err(NodeError::Nonsense("its answer does not end".to_owned()));
        }
    }
    Ok(body)
}

fn unreachable(error: reqwest::Error) -> NodeError {
    NodeError::Unreachable(shortened(&innermost(&error)))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get("retry-after")?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn refusal(body: &[u8]) -> NodeError {
    match detail(body) {
        Some(reason) => NodeError::Refused(reason),
        // A proxy's or a stranger's 400 must not put proofs aside.
        None => NodeError::Nonsense("a refusal without a reason".to_owned()),
    }
}

fn hiccup(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> NodeError {
    let reason = detail(body).unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => NodeError::Busy {
            reason,
            retry_after,
        },
        status if status.is_server_error() => NodeError::Busy {
            reason,
            retry_after,
        },
        status => NodeError::Nonsense(format!("{status}: {reason}")),
    }
}

/// The sentence of an error answer, or the sentences about its fields.
fn detail(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = match answer.get("detail")? {
        Value::String(text) => text.clone(),
        Value::Array(fields) => fields
            .iter()
            .filter_map(field_problem)
            .collect::<Vec<_>>()
            .join("; "),
        _ => return None,
    };
    (!text.is_empty()).then(|| shortened(&text))
}

fn field_problem(field: &Value) -> Option<String> {
    let location: Vec<&str> = field
        .get("loc")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    Some(format!(
        "{}: {}",
        location.join("."),
        field.get("msg")?.as_str()?
    ))
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_REASON)
        .collect()
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
    #[test]
    fn only_tls_and_this_machine_are_who_they_say() {
        let believed = |address: &str| super::Node::new(address, None).unwrap().is_who_it_says();
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

    use serde_json::json;

    use super::*;

    fn fate(answer: Value) -> Result<Fate, NodeError> {
        read_fate(answer.to_string().as_bytes())
    }

    #[test]
    fn only_a_receipt_lets_a_proof_go() {
        assert_eq!(
            fate(json!({"status": "pending_validation"})).unwrap(),
            Fate::Pending
        );
        assert_eq!(fate(json!({"status": "validated"})).unwrap(), Fate::Pending);
        for nonsense in [
            json!({"status": "stored", "receipt": {"block_height": 4}}),
            json!({"status": "stored", "receipt": "yes"}),
            json!({"status": "stored"}),
            json!({"status": "stored", "receipt": null}),
            json!({"status": "done"}),
            json!([]),
            json!(7),
        ] {
            assert!(matches!(fate(nonsense), Err(NodeError::Nonsense(_))));
        }
        assert!(matches!(read_fate(b"<html>"), Err(NodeError::Nonsense(_))));
    }

    #[test]
    fn reasons_are_read_in_both_forms_and_cut() {
        assert_eq!(
            detail(br#"{"detail":"the certificate has expired"}"#).unwrap(),
            "the certificate has expired"
        );
        let fields =
            br#"{"detail":[{"loc":["body","timestamp"],"msg":"too far ahead","type":"value"}]}"#;
        assert_eq!(detail(fields).unwrap(), "body.timestamp: too far ahead");
        let long = json!({"detail": "x\u{1b}".repeat(5_000)}).to_string();
        assert_eq!(detail(long.as_bytes()).unwrap().len(), LONGEST_REASON);
        assert_eq!(detail(b"<html>400</html>"), None);
    }

    #[test]
    fn a_receipt_number_cannot_leave_its_path() {
        assert!(is_plain("7b8f3f2e-0000-4000-8000-000000000000"));
        for wrong in ["", "../verify", "a/b", "a?b", "a b"] {
            assert!(!is_plain(wrong));
        }
    }

    #[test]
    fn a_stranger_cannot_put_a_proof_aside() {
        assert!(matches!(
            refusal(b"<html>Bad Request</html>"),
            NodeError::Nonsense(_)
        ));
        assert!(matches!(
            refusal(br#"{"detail":"no"}"#),
            NodeError::Refused(_)
        ));
        assert!(matches!(
            hiccup(StatusCode::NOT_FOUND, b"", None),
            NodeError::Nonsense(_)
        ));
        assert!(matches!(
            hiccup(StatusCode::BAD_GATEWAY, b"", None),
            NodeError::Busy { .. }
        ));
    }
}
