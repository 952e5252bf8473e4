//! Request bodies as JSON: bounded in size, time and depth, and refused with the field that is wrong.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The largest body of an ordinary request.
pub const LARGEST: usize = 64 * 1024;
/// How long a client may take to send a body.
pub const TIME: Duration = Duration::from_secs(15);

/// A JSON body of up to 64 KiB. The content type is not looked at: older cameras and nodes send several.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&read(request, LARGEST).await?).map(Self)
    }
}

/// Reads a body of at most `largest` bytes.
pub async fn read(request: Request, largest: usize) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > largest as u64) {
        return Err(too_large(largest));
    }
    let collected = tokio::time::timeout(TIME, collect(request.into_body(), largest)).await;
    collected.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive",
        )
    })?
}

async fn collect(mut body: Body, largest: usize) -> Result<Bytes, ApiError> {
    use hyper::body::Body as _;
    let mut whole: Option<Bytes> = None;
    let mut longer = BytesMut::new();
    loop {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            ApiError::bad_request(format!("the body could not be read: {error}"))
        })?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        let length = whole.as_ref().map_or(longer.len(), Bytes::len) + chunk.len();
        if length > largest {
            return Err(too_large(largest));
        }
        // Most bodies arrive in one piece, which then needs no copy.
        match whole.take() {
            None if longer.is_empty() => whole = Some(chunk),
            None => longer.extend_from_slice(&chunk),
            Some(first) => {
                longer.extend_from_slice(&first);
                longer.extend_from_slice(&chunk);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| longer.freeze()))
}

fn too_large(largest: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {largest} bytes"),
    )
}

/// Reads JSON; the error names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    reader.end().map_err(|error| explain("", &error))?;
    Ok(value)
}

fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let sentence = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(sentence, _)| sentence);
    if !error.is_data() {
        return ApiError::field("", format!("not JSON: {text}"));
    }
    // A missing or repeated field is named in the sentence, not in the path.
    let quoted = |start: &str| {
        sentence
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix('`'))
    };
    let (name, message) = match (quoted("missing field `"), quoted("duplicate field `")) {
        (Some(name), _) => (name, "field required"),
        (None, Some(name)) => (name, "stands twice"),
        (None, None) => return ApiError::field(path, sentence),
    };
    let path = if path == "." { "" } else { path };
    ApiError::field(&format!("{path}.{name}"), message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        number: u8,
    }

    fn location(text: &str) -> serde_json::Value {
        let error = parse::<Outer>(text.as_bytes()).unwrap_err();
        assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
        error.body()["detail"][0]["loc"].clone()
    }

    #[test]
    fn the_wrong_field_is_named() {
        assert_eq!(
            location(r#"{"inner":{"number":256}}"#),
            json!(["body", "inner", "number"])
        );
        assert_eq!(
            location(r#"{"inner":{}}"#),
            json!(["body", "inner", "number"])
        );
        assert_eq!(location("{}"), json!(["body", "inner"]));
        assert_eq!(location("{"), json!(["body"]));
        assert_eq!(
            location(r#"{"inner":{"number":1,"number":1}}"#),
            json!(["body", "inner", "number"])
        );
        assert_eq!(location(r#"{"inner":{"number":1}} {}"#), json!(["body"]));
        assert!(parse::<Outer>("[".repeat(60_000).as_bytes()).is_err());
    }

    #[tokio::test]
    async fn a_large_body_is_refused_with_and_without_an_announcement() {
        let announced = Request::builder()
            .header("content-length", "65537")
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            read(announced, LARGEST).await.unwrap_err().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let silent = Request::new(Body::from(vec![b' '; LARGEST + 1]));
        assert_eq!(
            read(silent, LARGEST).await.unwrap_err().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let exact = Request::new(Body::from(vec![b' '; LARGEST]));
        assert_eq!(read(exact, LARGEST).await.unwrap().len(), LARGEST);
    }
}
