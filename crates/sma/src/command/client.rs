//! How commands reach the authority: the running one through its socket, or one opened for the
//! moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use birthmark_client::{HttpClient, Options};
use birthmark_daemon::Credentials;
use birthmark_http::{Peer, body};
use birthmark_protocol::api::ErrorBody;
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
    Running(HttpClient),
    /// It is not, so this process is it.
    Opened(axum::Router, Arc<Authority>),
}

impl Client {
    /// Finds the running authority, or opens the database.
    pub async fn reach(settings: &Settings, credentials: &Credentials) -> anyhow::Result<Self> {
        if std::os::unix::net::UnixStream::connect(&settings.control).is_ok() {
            let options = Options {
                timeout: Duration::from_secs(120),
                largest_answer: LARGEST,
                ..Options::default()
            };
            return Ok(Self::Running(HttpClient::on_socket(
                &settings.control,
                &options,
            )?));
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

    /// One request from reaching the authority to its end: what was asked is written down also when
    /// it was refused.
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
        let (status, bytes) = match self {
            Self::Running(client) => {
                let answer = client.send(method, path, question).await;
                let answer = answer.context("the authority")?;
                (answer.status(), Bytes::copy_from_slice(answer.body()))
            }
            Self::Opened(router, _) => {
                let content = match question {
                    Some(question) => Body::from(serde_json::to_vec(question)?),
                    None => Body::empty(),
                };
                let peer = Peer::Unix {
                    uid: rustix::process::getuid().as_raw(),
                };
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .extension(peer)
                    .body(content)?;
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
    let body: ErrorBody = serde_json::from_value(answer.clone()).ok()?;
    Some(body.sentence())
}
