//! Taking submissions.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use birthmark_http::body;
use birthmark_ledger::Height;
use birthmark_protocol::api::{Accepted, Stage};
use birthmark_protocol::one_time::OneTimeSubmission;
use birthmark_protocol::request::RequestError;
use birthmark_protocol::submission::{MAX_SUBMISSION, Submission, SubmissionRoute};
use birthmark_protocol::{Bundle, Digest, Edit};
use bytes::Bytes;
use serde::Deserialize;

use super::{App, COME_BACK, Shared};
use crate::admission::{
    Asked, NOBODY, Refused, Request as Admitted, Sent, Taken, one_time, software,
};
use crate::registry::Found;
use crate::{clock, journal};

/// Structured token, two hashes, or packed token.
#[utoipa::path(post, path = "/api/v1/submit", tag = "Submission", responses((status = 202, body = Accepted), (status = 400, description = "refused, with a sentence"), (status = 413), (status = 422, description = "a field is wrong"), (status = 429), (status = 503, description = "come back later")))]
pub async fn submit(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    take(&app, SubmissionRoute::Submit, body).await
}

/// Packed token.
#[utoipa::path(post, path = "/api/v1/submit-legacy", tag = "Submission", responses((status = 202, body = Accepted), (status = 400), (status = 422), (status = 503)))]
pub async fn legacy(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    take(&app, SubmissionRoute::Legacy, body).await
}

/// Camera certificate; or, with `software_cert`, an image edited from a registered one.
#[utoipa::path(post, path = "/api/v1/submit-cert", tag = "Submission", responses((status = 202, body = Accepted), (status = 400), (status = 422), (status = 503)))]
pub async fn certificate(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let probe = serde_json::from_slice::<Probe>(&body);
    match probe {
        Ok(Probe {
            software_cert: Some(_),
        }) => edit(&app, &body).await,
        _ => take(&app, SubmissionRoute::Certificate, body).await,
    }
}

/// A photo under a one-time key. Nobody is asked about it.
#[utoipa::path(post, path = "/api/v1/submit-once", tag = "Submission", responses((status = 202, body = Accepted), (status = 400, description = "refused, with a sentence"), (status = 413), (status = 422, description = "a field is wrong"), (status = 429), (status = 503, description = "come back later")))]
pub async fn once(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let submission = match OneTimeSubmission::parse(&body) {
        Ok(submission) => submission,
        Err(error) => {
            app.metrics.refused.inc();
            return Ok(refused_request(&error));
        }
    };
    app.check_capture(&submission.bundle, submission.anchor_block)
        .await?;
    let (admission, now) = (&app.admission, clock::now());
    let epochs = app.registry.epochs();
    let checked = one_time::check(submission, &epochs, admission.book(), admission.key(), now);
    let request = checked.map_err(|refused| app.turned_away(refused))?;
    app.check_spent(&request).await?;
    app.answer(admission.keep(NOBODY.to_owned(), request, now).await)
}

/// Whether it is about an edit.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    software_cert: Option<serde::de::IgnoredAny>,
}

/// Room is looked for before anything is read.
async fn read(app: &App, request: Request) -> Result<Bytes, ApiError> {
    app.check_standing()?;
    app.admission
        .check_room()
        .map_err(|refused| app.turned_away(refused))?;
    body::read(request, MAX_SUBMISSION).await
}

async fn take(app: &App, route: SubmissionRoute, body: Bytes) -> Result<Response, ApiError> {
    let submission = match Submission::parse(route, &body) {
        Ok(submission) => submission,
        Err(error) => {
            app.metrics.refused.inc();
            return Ok(refused_request(&error));
        }
    };
    app.check_capture(&submission.bundle, submission.anchor_block)
        .await?;
    let sent = Sent { route, body: &body };
    app.answer(app.admission.submit(submission, sent, clock::now()).await)
}

async fn edit(app: &App, body: &[u8]) -> Result<Response, ApiError> {
    let edit = match Edit::parse(body) {
        Ok(edit) => edit,
        Err(error) => {
            app.metrics.refused.inc();
            return Ok(refused_request(&error));
        }
    };
    let now = clock::now();
    let request = software::check(&edit, app.admission.book(), app.admission.key(), now)
        .map_err(|refused| app.turned_away(refused))?;
    app.check_original(&edit.bundle, Some(edit.original))
        .await?;
    app.answer(app.admission.keep(NOBODY.to_owned(), request, now).await)
}

impl App {
    /// What a camera of ours says beside its digests, held against this registry.
    async fn check_capture(
        &self,
        bundle: &Bundle,
        anchor_block: Option<Digest>,
    ) -> Result<(), ApiError> {
        if bundle.is_rehearsal() && !self.registry.genesis().rehearsal {
            return Err(self.turned_away(Refused::NoRehearsal));
        }
        let Some((height, block)) = bundle.anchor().zip(anchor_block) else {
            return Ok(());
        };
        let known = self.registry.block_hash(Height::new(height)).await?;
        match known {
            None => Err(self.turned_away(Refused::AnchorAhead { height })),
            Some(known) if known != block => {
                Err(self.turned_away(Refused::OtherRegistry { height }))
            }
            Some(_) => Ok(()),
        }
    }

    /// A one-time key that a record of the registry holds is not taken again. The same photo again
    /// is: whoever sends it gets its first receipt while that is remembered here.
    async fn check_spent(&self, request: &Admitted) -> Result<(), ApiError> {
        let Asked::OneTime(one_time) = &request.asked else {
            return Ok(());
        };
        let store = self.registry.store();
        let Some(leaf) = store.spender(&one_time.spent.name).await? else {
            return Ok(());
        };
        let is_same = |found: Found| found.record().bundle() == &request.bundle;
        match self.registry.record(leaf).await?.is_some_and(is_same) {
            true if store.submission(request.id).await?.is_some() => Ok(()),
            _ => Err(self.turned_away(Refused::SPENT_KEY)),
        }
    }

    pub(super) fn answer(&self, taken: Result<Taken, Refused>) -> Result<Response, ApiError> {
        let taken = taken.map_err(|refused| self.turned_away(refused))?;
        self.metrics.accepted.inc();
        Ok(accepted(taken))
    }

    fn turned_away(&self, refused: Refused) -> ApiError {
        let counter = if refused.is_temporary() {
            &self.metrics.turned_away
        } else {
            &self.metrics.refused
        };
        counter.inc();
        if refused.is_forgery()
            && let Some(count) = self.forgeries.count(Instant::now())
        {
            log::warn!(MESSAGE_ID = journal::FORGED_PROOFS, SUBMISSIONS = count; "submissions were refused because their proof does not hold, the last one: {refused}");
        }
        refused.into()
    }
}

/// The protocol names the field that is wrong, in the form the documents' clients expect.
pub fn refused_request(error: &RequestError) -> Response {
    #[expect(
        clippy::disallowed_methods,
        reason = "a wrong request is refused by any number"
    )]
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
        receipt_id: id.0.to_string(),
        status: Stage::PendingValidation,
        message: message.into(),
    };
    (StatusCode::ACCEPTED, axum::Json(accepted)).into_response()
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        if let Refused::Store(cause) = &refused {
            log::debug!("a submission was turned away: {cause}");
        }
        if let Refused::CameraBudget { wait } = &refused {
            return Self::too_many(refused.to_string(), *wait);
        }
        if refused.is_temporary() {
            Self::unavailable(refused.to_string(), COME_BACK)
        } else {
            Self::bad_request(refused.to_string())
        }
    }
}
