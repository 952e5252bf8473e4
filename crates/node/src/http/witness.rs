//! This validator as a witness of other registries (c2sp.org/tlog-witness).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use birthmark_http::{ApiError, Path, body};
use birthmark_ledger::witness::{MAX_QUESTION_BYTES, Refusal};

use super::checkpoints::TEXT;
use super::{App, FRESH, Shared};
use crate::clock;
use crate::witness::{Refused, Witness};

/// What the protocol calls an answer that holds a size.
const SIZE: (header::HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("text/x.tlog.size"),
);

impl App {
    fn witness(&self) -> Result<&Arc<Witness>, ApiError> {
        let witness = self.witness.as_ref();
        witness.ok_or_else(|| ApiError::not_found("this validator is no witness"))
    }
}

/// Cosigns a checkpoint of another registry, if it continues the one that was cosigned last.
#[utoipa::path(post, path = "/witness/add-checkpoint", tag = "Transparency", request_body(content = String, content_type = "text/plain"), responses((status = 200, description = "the line of a cosignature"), (status = 400, description = "no such question"), (status = 403, description = "signed by no key that is known of this registry"), (status = 404, description = "a registry that is not known here"), (status = 409, description = "the size that was cosigned last"), (status = 422, description = "it does not continue what was cosigned last")))]
pub async fn add_checkpoint(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let witness = Arc::clone(app.witness()?);
    let question = body::read(request, MAX_QUESTION_BYTES).await?;
    let question = String::from_utf8(question.to_vec());
    let question = question.map_err(|_| ApiError::bad_request("the question is no text"))?;
    let asked = move || witness.add(&question, clock::now());
    let answer = tokio::task::spawn_blocking(asked).await;
    match answer.map_err(ApiError::internal)? {
        Ok(line) => Ok(([TEXT, FRESH], line).into_response()),
        Err(Refused::Refusal(Refusal::Conflict(size))) => {
            Ok((StatusCode::CONFLICT, [SIZE], format!("{size}\n")).into_response())
        }
        Err(refused @ Refused::Memory { .. }) => Err(ApiError::internal(refused)),
        Err(refused) => Err(ApiError::new(status(&refused), refused.to_string())),
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::UnknownLog => StatusCode::NOT_FOUND,
        Refused::Refusal(Refusal::Untrusted) => StatusCode::FORBIDDEN,
        Refused::Refusal(Refusal::Fork) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The checkpoint that was cosigned last of a registry, which is named by the SHA-256 of its name.
#[utoipa::path(get, path = "/witness/{origin_hash}/checkpoint", tag = "Transparency", responses((status = 200, description = "a signed note"), (status = 404, description = "nothing was cosigned")))]
pub async fn last(
    State(app): Shared,
    Path(origin_hash): Path<String>,
) -> Result<Response, ApiError> {
    let witness = Arc::clone(app.witness()?);
    let asked = tokio::task::spawn_blocking(move || witness.last(&origin_hash)).await;
    let last = asked.map_err(ApiError::internal)?;
    let last = last.map_err(ApiError::internal)?;
    let last = last.ok_or_else(|| ApiError::not_found("nothing of it was cosigned here"))?;
    Ok(([TEXT, FRESH], last.to_string()).into_response())
}
