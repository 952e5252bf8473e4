//! An answer, read to its end, and what its status and body mean.

use std::time::Duration;

use birthmark_daemon::reasons::innermost;
use birthmark_protocol::api::ErrorBody;
use reqwest::{Response, header};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{CallError, shortened};

/// An answer with its whole body. The body may hold a camera's secrets, so it is wiped when it is
/// dropped.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Reads an answer of at most `largest` bytes.
    pub(crate) async fn read(mut response: Response, largest: usize) -> Result<Self, CallError> {
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let too_large =
            || CallError::Nonsense(format!("the answer is larger than {largest} bytes"));
        if response
            .content_length()
            .is_some_and(|length| length > largest as u64)
        {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&error))?
        {
            if body.len() + chunk.len() > largest {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status,
            retry_after,
            body,
        })
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body, whatever the status says.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body of a successful answer; otherwise what the answer says is wrong.
    pub fn success(self) -> Result<Zeroizing<Vec<u8>>, CallError> {
        match self.status {
            200..=299 => Ok(self.body),
            _ => Err(self.error()),
        }
    }

    /// The same as text.
    pub fn text(self) -> Result<Zeroizing<String>, CallError> {
        let body = self.success()?;
        let text = std::str::from_utf8(&body).map_err(CallError::nonsense)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The JSON of a successful answer.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        serde_json::from_slice(&self.success()?).map_err(CallError::nonsense)
    }

    /// A successful answer; none if the other side itself says that there is no such thing. A 404
    /// that is not in this house's form, of a proxy or a wrong server, is an error.
    pub fn found(self) -> Result<Option<Self>, CallError> {
        match self.status {
            404 if ErrorBody::read(&self.body).is_some() => Ok(None),
            200..=299 => Ok(Some(self)),
            _ => Err(self.error()),
        }
    }

    fn error(&self) -> CallError {
        let said = ErrorBody::read(&self.body).map(|error| shortened(&error.sentence()));
        let status = self.status;
        match (status, said) {
            (408 | 429 | 500..=599, said) => CallError::Busy {
                status,
                reason: said.unwrap_or_else(|| format!("status {status}")),
                retry_after: self.retry_after,
            },
            // A proxy's or a stranger's refusal must not count as the other side's word.
            (400..=499, Some(reason)) => CallError::Refused { status, reason },
            (300..=399, _) => CallError::Unexpected {
                status,
                reason: "it sends us to another address, which is never followed".into(),
            },
            (_, said) => CallError::Unexpected {
                status,
                reason: said.unwrap_or_else(|| "without a reason in the form of this house".into()),
            },
        }
    }
}

/// What went wrong on the way. Outer sentences say only that something failed; the innermost says
/// why.
pub(crate) fn unreachable(error: &reqwest::Error) -> CallError {
    let reason = match error.is_timeout() {
        true => "it did not answer in time".to_owned(),
        false => explained(innermost(error)),
    };
    CallError::Unreachable(shortened(&reason))
}

/// The library's words for an answer in the clear where TLS was begun name neither.
fn explained(reason: String) -> String {
    match reason.contains("InvalidContentType") {
        true => "it does not speak TLS there; is its address http:// instead of https://?".into(),
        false => reason,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
