//! How commands reach the authority: the running one through its socket, or one opened for the moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Body;
use axum::http::{Method, Request};
use birthmark_daemon::Credentials;
use birthmark_http::{Peer, body};
use serde::Serialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::authority::Authority;
use crate::settings::Settings;
use crate::tell::api::{Api, router};

/// No answer to a command is larger.
const LARGEST: usize = 256 << 20;

/// The way to an authority.
pub enum Client {
    /// It is running.
    Running(reqwest::Client),
    /// It is not, so this process is it.
    Opened(axum::Router, Arc<Authority>),
}

impl Client {
    /// Finds the running authority, or opens the database.
    pub async fn reach(settings: &Settings, credentials: &Credentials) -> anyhow::Result<Self> {
        if std::os::unix::net::UnixStream::connect(&settings.control).is_ok() {
            let client = reqwest::Client::builder()
                .unix_socket(settings.control.as_path())
                .no_proxy()
                .timeout(Duration::from_secs(120));
            return Ok(Self::Running(client.build().context("the control socket")?));
        }
        let authority = Arc::new(Authority::open(settings.clone(), credentials).await?);
        let api = Api {
            authority: Arc::clone(&authority),
            open: false,
        };
        Ok(Self::Opened(router(api), authority))
    }

    /// Sends a request; the answer's JSON, or its refusal as an error.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        question: Option<&impl Serialize>,
    ) -> anyhow::Result<Value> {
        let (status, answer) = self.send(method, path, question).await?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        bail!(
            "{}",
            refusal(&answer).unwrap_or_else(|| format!("the authority answered {status}"))
        )
    }

    /// One request from reaching the authority to its end: what was asked is written down also when it was refused.
    pub async fn once(
        settings: &Settings,
        credentials: &Credentials,
        method: Method,
        path: &str,
        question: Option<&impl Serialize>,
    ) -> anyhow::Result<Value> {
        let client = Self::reach(settings, credentials).await?;
        let answer = client.ask(method, path, question).await;
        client.finish().await?;
        answer
    }

    /// Sends a request; status and JSON of the answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        question: Option<&impl Serialize>,
    ) -> anyhow::Result<(u16, Value)> {
        let content = question
            .map(serde_json::to_vec)
            .transpose()?
            .unwrap_or_default();
        let (status, bytes) = match self {
            Self::Running(client) => {
                let answer = client
                    .request(method, format!("http://localhost{path}"))
                    .body(content)
                    .send()
                    .await
                    .context("the authority does not answer")?;
                (answer.status().as_u16(), answer.bytes().await?)
            }
            Self::Opened(router, _) => {
                let peer = Peer::Unix {
                    uid: rustix::process::getuid().as_raw(),
                };
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .extension(peer)
                    .body(Body::from(content))?;
                let answer = router
                    .clone()
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {});
                let status = answer.status().as_u16();
                (
                    status,
                    body::read(answer.map(|body| body).into_request(), LARGEST).await?,
                )
            }
        };
        let answer = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).context("the answer is no JSON")?
        };
        Ok((status, answer))
    }

    /// Writes down what is still only in memory.
    pub async fn finish(self) -> anyhow::Result<()> {
        if let Self::Opened(_, authority) = self {
            authority.write_audit().await?;
            authority.store.close().await;
        }
        Ok(())
    }
}

/// An answer's body as a request's, so that it is read by the same code.
trait IntoRequest {
    fn into_request(self) -> Request<Body>;
}

impl IntoRequest for axum::response::Response {
    fn into_request(self) -> Request<Body> {
        Request::new(self.into_body())
    }
}

/// The sentence in a refusal.
pub fn refusal(answer: &Value) -> Option<String> {
    match answer.get("detail")? {
        Value::String(sentence) => Some(sentence.clone()),
        Value::Array(fields) => {
            let sentences = fields.iter().map(|field| {
                let place = field["loc"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .skip(1)
                    .map(|step| step.to_string().replace('"', ""));
                format!(
                    "{}: {}",
                    place.collect::<Vec<_>>().join("."),
                    field["msg"].as_str().unwrap_or_default()
                )
            });
            Some(sentences.collect::<Vec<_>>().join("; "))
        }
        _ => None,
    }
}
