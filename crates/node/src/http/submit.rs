//! Taking submissions.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use birthmark_http::body;
use birthmark_protocol::request::RequestError;
use birthmark_protocol::submission::{MAX_SUBMISSION, Submission, SubmissionRoute};
use serde::Serialize;

use super::{App, COME_BACK, Shared};
use crate::admission::{Refused, Taken};
use crate::clock;

/// What a sender is told.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Accepted {
    /// Ask `/api/v1/submission/{receipt_id}` what became of it.
    pub receipt_id: uuid::Uuid,
    /// How far it has come.
    pub status: &'static str,
    /// The same in words.
    pub message: &'static str,
}

/// Structured token, two hashes, or packed token.
pub async fn submit(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    take(app, SubmissionRoute::Submit, request).await
}

/// Packed token.
pub async fn legacy(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    take(app, SubmissionRoute::Legacy, request).await
}

/// Camera certificate.
pub async fn certificate(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    take(app, SubmissionRoute::Certificate, request).await
}

async fn take(
    app: Arc<App>,
    route: SubmissionRoute,
    request: Request,
) -> Result<Response, ApiError> {
    app.admission.check_room()?;
    let body = body::read(request, MAX_SUBMISSION).await?;
    let submission = match Submission::parse(route, &body) {
        Ok(submission) => submission,
        Err(error) => return Ok(refused_request(&error)),
    };
    Ok(accepted(
        app.admission.submit(&submission, clock::now()).await?,
    ))
}

/// The protocol names the field that is wrong, in the form the documents' clients expect.
pub fn refused_request(error: &RequestError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, axum::Json(error)).into_response()
}

/// 202 with the name of the submission.
pub fn accepted(taken: Taken) -> Response {
    let (id, message) = match taken {
        Taken::Queued(id) => (id, "Submission received; its authority is asked next"),
        Taken::Known(id) => (
            id,
            "This photo of this camera was submitted before; this is its first receipt",
        ),
        Taken::TokenSpent => return ApiError::from(Refused::TokenSpent).into_response(),
    };
    let accepted = Accepted {
        receipt_id: id.0,
        status: "pending_validation",
        message,
    };
    (StatusCode::ACCEPTED, axum::Json(accepted)).into_response()
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        if let Refused::Store(cause) = &refused {
            log::debug!("a submission was turned away: {cause}");
        }
        if refused.is_temporary() {
            Self::unavailable(refused.to_string(), COME_BACK)
        } else {
            Self::bad_request(refused.to_string())
        }
    }
}
