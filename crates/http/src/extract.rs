//! Parts of an address as values: what does not fit is refused with its name, in the same form as
//! everything else.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// What stands in the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

/// What stands behind the question mark.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        found
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|error| ApiError::parameter("path", "", error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        found
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| ApiError::parameter("query", "", error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Page {
        limit: u32,
    }

    async fn page(address: &str) -> Result<u32, ApiError> {
        let (mut parts, ()) = Request::builder()
            .uri(address)
            .body(())
            .unwrap()
            .into_parts();
        let page = Query::<Page>::from_request_parts(&mut parts, &()).await?;
        Ok(page.0.limit)
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_in_our_own_words() {
        assert_eq!(page("/?limit=7").await, Ok(7));
        for address in ["/", "/?limit=-1", "/?limit=1&limit=2", "/?limit=%ff"] {
            let error = page(address).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(error.body()["detail"][0]["loc"][0], "query", "{address}");
        }
    }
}
