//! Request bodies as JSON: bounded in size, time and depth, and refused with the field that is
//! wrong.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Frame;
use serde::de::DeserializeOwned;

use crate::byte_budget::{Account, Lease, OverBudget, leased};
use crate::error::ApiError;

/// The largest body of an ordinary request.
pub const LARGEST: usize = 64 * 1024;
/// How long a client may take to send a body.
pub const TIME: Duration = Duration::from_secs(15);

/// A JSON body of up to 64 KiB. The content type is not looked at: older cameras and nodes send
/// several.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&read(request, LARGEST).await?).map(Self)
    }
}

/// Reads a body of at most `largest` bytes. They are counted against their client from the moment
/// they arrive until the last reference to the returned bytes is gone.
pub async fn read(request: Request, largest: usize) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > largest as u64) {
        return Err(too_large(largest));
    }
    let account = request.extensions().get::<Arc<Account>>();
    let mut lease = account.map(|account| account.body());
    let counted = Counted {
        body: request.into_body(),
        lease: lease.as_mut(),
    };
    let collected = tokio::time::timeout(TIME, Limited::new(counted, largest).collect()).await;
    let collected = collected.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive",
        )
    })?;
    let bytes = collected
        .map_err(|error| broken(error.as_ref(), largest))?
        .to_bytes();
    Ok(match lease {
        Some(lease) => leased(bytes, lease),
        None => bytes,
    })
}

/// A body whose bytes are counted as they arrive.
struct Counted<'l> {
    body: Body,
    lease: Option<&'l mut Lease>,
}

impl hyper::body::Body for Counted<'_> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return Poll::Pending;
        };
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if let Some(lease) = &mut this.lease
            && let Err(over) = lease.grow(length)
        {
            return Poll::Ready(Some(Err(over.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static), largest: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        return too_large(largest);
    }
    match error.downcast_ref::<OverBudget>() {
        Some(over) => over.of_bodies(),
        None => ApiError::bad_request(format!("the body could not be read: {error}")),
    }
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

    #[tokio::test]
    async fn a_body_that_breaks_off_or_costs_too_much_is_told_apart() {
        let pieces = |pieces: Vec<Result<&'static [u8], std::io::Error>>| {
            let pieces = pieces
                .into_iter()
                .map(|piece| piece.map(Bytes::from_static));
            Body::new(Pieces(pieces.collect()))
        };
        let broken = || Err(std::io::Error::other("the line was cut"));
        let request = Request::new(pieces(vec![Ok(b"{"), broken()]));
        let error = read(request, LARGEST).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert!(error.message().contains("the line was cut"), "{error}");

        // Ten bytes for one client, of which six are held by another request of it.
        let budget = crate::ByteBudget::default().with_bodies(100, 10);
        let account = Arc::new(budget.account());
        let of_client = |body| {
            let mut request = Request::new(body);
            request.extensions_mut().insert(Arc::clone(&account));
            request
        };
        let held = read(of_client(Body::from("123456")), LARGEST)
            .await
            .unwrap();
        assert_eq!(budget.bodies_held(), 6);
        let request = of_client(pieces(vec![Ok(b"123"), Ok(b"45")]));
        let error = read(request, LARGEST).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS, "{error}");
        assert_eq!(budget.bodies_held(), 6, "what did not fit is given back");
        let copy = held.slice(2..4);
        drop(held);
        assert_eq!(budget.bodies_held(), 6, "somebody still has a part of it");
        drop(copy);
        assert_eq!(budget.bodies_held(), 0);
    }

    /// A body that arrives in these pieces.
    struct Pieces(std::collections::VecDeque<Result<Bytes, std::io::Error>>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
        }
    }
}
