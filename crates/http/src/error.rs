//! Errors for clients, apart from what the operator reads in the journal.

use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_protocol::request::{RequestError, Step};
use serde_json::{Value, json};

use crate::log_throttle::LogThrottle;

/// Requests that found the database away.
static OUTAGES: LogThrottle = LogThrottle::new();

/// An answer that is not the one asked for.
///
/// The body is `{"detail": "sentence"}`, or for a field of the request
/// `{"detail": [{"loc": […], "msg": …, "type": …}]}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct ApiError {
    status: StatusCode,
    message: String,
    location: Option<Box<Value>>,
    kind: &'static str,
    retry_after: Option<u64>,
}

impl ApiError {
    /// An error with a sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            location: None,
            kind: "value_error",
            retry_after: None,
        }
    }

    /// A field of the body is wrong: 422 with its path, for example `camera_token.nonce`.
    pub fn field(path: &str, message: impl Into<String>) -> Self {
        let location = std::iter::once("body").chain(
            path.split('.')
                .filter(|part| !part.is_empty() && *part != "?"),
        );
        Self {
            location: Some(Box::new(location.collect())),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
    }

    /// A part of the path or query is wrong: 422.
    pub fn parameter(place: &str, name: &str, message: impl Into<String>) -> Self {
        Self {
            location: Some(Box::new(json!([place, name]))),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
    }

    /// The request makes no sense: 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing, or the caller may not know of it: 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// It is there already: 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Not now; come back later: 503 with `Retry-After`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(whole_seconds(retry_after)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// Too many requests: 429 with `Retry-After`.
    pub fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(whole_seconds(retry_after)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    /// Our own fault: 500. The cause goes to the log, not to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        log::error!("a request failed: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        match &self.location {
            None => json!({ "detail": self.message }),
            Some(location) => {
                json!({ "detail": [{ "loc": location, "msg": self.message, "type": self.kind }] })
            }
        }
    }
}

/// `Retry-After` counts whole seconds. Rounded up: whoever comes back when told to must not be
/// turned away again.
const fn whole_seconds(wait: Duration) -> u64 {
    let begun = if wait.subsec_nanos() > 0 { 1 } else { 0 };
    match wait.as_secs().saturating_add(begun) {
        0 => 1,
        seconds => seconds,
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let Ok(status) = StatusCode::from_u16(error.status()) else {
            return Self::internal(format!("{} is no status", error.status()));
        };
        let RequestError::Field(field) = &error else {
            return Self::new(status, error.to_string());
        };
        let step = |step: &Step| match step {
            Step::Field(name) => json!(name),
            Step::Index(index) => json!(index),
        };
        let location = std::iter::once(json!("body"))
            .chain(field.path.iter().map(step))
            .collect();
        Self {
            location: Some(Box::new(location)),
            kind: field.kind,
            ..Self::new(status, field.message.clone())
        }
    }
}

impl From<sqlx::Error> for ApiError {
    /// The database is away or busy: 503, since the same request can succeed later. A refused
    /// statement is our own fault.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) if is_full(refused.as_ref()) => {
                log::error!("the database cannot grow: {error}");
                let message = "the disk is full: nothing can be stored at present";
                Self::unavailable(message, Duration::from_secs(60))
            }
            sqlx::Error::Database(refused) if !is_outage(refused.as_ref()) => Self::internal(error),
            _ => {
                if let Some(requests) = OUTAGES.count(Instant::now()) {
                    log::error!(
                        "the database does not answer ({requests} requests since this was last said): {error}"
                    );
                }
                Self::unavailable("the database does not answer", Duration::from_secs(5))
            }
        }
    }
}

/// Whether the database's disk or quota is used up: SQLITE_FULL, or PostgreSQL's disk_full.
fn is_full(error: &dyn sqlx::error::DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("13" | "53100"))
}

/// Whether the database refused because of its own state: locked, full, read-only, shutting down,
/// out of resources.
fn is_outage(error: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    let sqlite_primary = code
        .parse::<u32>()
        .map(|code| code & 0xFF)
        .ok()
        .filter(|_| code.len() <= 4);
    matches!(sqlite_primary, Some(5 | 6 | 8 | 10 | 11 | 13 | 14 | 26))
        || (code.len() == 5
            && ["08", "53", "57", "58", "40"]
                .iter()
                .any(|class| code.starts_with(class)))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_by_its_path() {
        let error = ApiError::field("camera_token.nonce", "expected 24 hexadecimal characters");
        assert_eq!(
            error.body()["detail"][0]["loc"],
            json!(["body", "camera_token", "nonce"])
        );
        assert_eq!(
            ApiError::field(".", "x").body()["detail"][0]["loc"],
            json!(["body"])
        );
    }

    #[test]
    fn a_busy_service_says_when_to_come_back() {
        let response = ApiError::unavailable("full", Duration::from_secs(7)).into_response();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["retry-after"].as_bytes()
            ),
            (503, &b"7"[..])
        );
    }

    #[tokio::test]
    async fn a_full_disk_is_an_outage_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("small.db").display());
        let crate::Database::Sqlite(pool) = crate::Database::open(&url, 1).await.unwrap() else {
            panic!("not SQLite")
        };
        for statement in ["CREATE TABLE t (content BLOB)", "PRAGMA max_page_count = 8"] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        let full = sqlx::query("INSERT INTO t (content) VALUES (zeroblob(100000))");
        let error = ApiError::from(full.execute(&pool).await.unwrap_err());
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.message().contains("full"), "{error}");
    }

    #[test]
    fn whoever_comes_back_when_told_to_is_not_too_early() {
        for (wait, told) in [
            (0, "1"),
            (1, "1"),
            (1000, "1"),
            (1001, "2"),
            (1999, "2"),
            (60_000, "60"),
        ] {
            let wait = Duration::from_millis(wait);
            for error in [
                ApiError::too_many("too many", wait),
                ApiError::unavailable("full", wait),
            ] {
                let response = error.into_response();
                assert_eq!(response.headers()["retry-after"], told, "{wait:?}");
            }
        }
    }

    /// A statement that the database refused is a bug of ours, of which strangers learn nothing;
    /// what it cannot do now it may do later.
    #[tokio::test]
    async fn a_refused_statement_is_our_fault_and_a_database_that_cannot_write_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.db");
        let url = format!("sqlite://{}", path.display());
        let open = async |url: &str| match crate::Database::open(url, 1).await.unwrap() {
            crate::Database::Sqlite(pool) => pool,
            crate::Database::Postgres(_) => panic!("not SQLite"),
        };
        let pool = open(&url).await;
        let run = async |pool: &sqlx::SqlitePool, statement: &'static str| {
            sqlx::query(statement).execute(pool).await.map(|_| ())
        };
        run(&pool, "CREATE TABLE t (n INTEGER UNIQUE)")
            .await
            .unwrap();
        run(&pool, "INSERT INTO t VALUES (1)").await.unwrap();
        for wrong in [
            "INSERT INTO t VALUES (1)",
            "SELECT secret FROM nowhere",
            "no SQL",
        ] {
            let error = ApiError::from(run(&pool, wrong).await.unwrap_err());
            assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(error.message(), "internal error");
        }
        run(&pool, "PRAGMA query_only = ON").await.unwrap();
        let error = ApiError::from(run(&pool, "INSERT INTO t VALUES (2)").await.unwrap_err());
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
        pool.close().await;

        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let Err(crate::database::OpenError::Database(error)) = crate::Database::open(&url, 1).await
        else {
            panic!("it is no database")
        };
        let error = ApiError::from(error);
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
    }

    #[test]
    fn a_field_of_a_question_keeps_its_place_and_kind() {
        let body = br#"{"ciphertext":"00","table_references":[0,1,2500],"key_indices":[0,0,0]}"#;
        let error = birthmark_protocol::authority_request::Question::parse_token(body);
        let error = ApiError::from(error.unwrap_err());
        assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let detail = &error.body()["detail"][0];
        assert_eq!(detail["loc"][0], "body");
        assert!(detail["loc"][1].is_string(), "{detail}");
        assert_ne!(detail["type"], "", "{detail}");
        assert_eq!(detail["msg"], error.message());
    }

    #[test]
    fn whoever_must_show_a_token_is_told_which_kind() {
        let response = ApiError::new(StatusCode::UNAUTHORIZED, "a token").into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let response = ApiError::not_found("nothing").into_response();
        assert!(!response.headers().contains_key("www-authenticate"));
        assert!(!response.headers().contains_key("retry-after"));
        // The cause of our own fault stays with the operator.
        let internal = ApiError::internal("the password is 123");
        assert!(!internal.body().to_string().contains("123"));
    }

    #[test]
    fn a_missing_database_is_an_outage_and_no_bug() {
        assert_eq!(
            ApiError::from(sqlx::Error::PoolTimedOut).status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
