//! What became of a submission.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_protocol::api::{Fate, Stage};
use serde_json::value::{RawValue, to_raw_value};

use super::{App, FRESH, Shared};
use crate::registry::Found;
use crate::store::{ReceiptId, State as Progress, Submission};

/// By the name its sender was given.
#[utoipa::path(get, path = "/api/v1/submission/{receipt_id}", tag = "Submission", responses((status = 200, body = Fate), (status = 404, description = "not remembered"), (status = 422)))]
pub async fn submission(
    State(app): Shared,
    Path(receipt_id): Path<String>,
) -> Result<Response, ApiError> {
    let id: uuid::Uuid = receipt_id
        .parse()
        .map_err(|_| ApiError::parameter("path", "receipt_id", "expected a UUID"))?;
    let submission = app.registry.store().submission(ReceiptId(id)).await?;
    let submission = submission.ok_or_else(|| {
        ApiError::not_found("no such submission is remembered; ask /api/v1/verify/{image_hash} for the photo itself")
    })?;
    let found = match submission.leaf {
        Some(leaf) => app.registry.record(leaf).await?,
        None => None,
    };
    let receipt = match &found {
        Some(found) => {
            let receipt = app.registry.receipt(found).await?;
            Some(to_raw_value(&receipt).map_err(ApiError::internal)?)
        }
        None => None,
    };
    Ok((
        [FRESH],
        axum::Json(app.fate(id, submission, found.as_ref(), receipt)),
    )
        .into_response())
}

impl App {
    fn fate(
        &self,
        receipt_id: uuid::Uuid,
        submission: Submission,
        found: Option<&Found>,
        receipt: Option<Box<RawValue>>,
    ) -> Fate {
        let state = match submission.state {
            // In the database already, and about to be stood by.
            Progress::Stored if found.is_none() => Progress::Validated,
            state => state,
        };
        let (status, waits_for) = match state {
            Progress::Waiting => (
                Stage::PendingValidation,
                Some("waiting for the answer of the camera's authority"),
            ),
            Progress::Validated => (
                Stage::Validated,
                Some("the authority vouches for the camera; waiting for the next block"),
            ),
            Progress::Rejected => (Stage::Rejected, None),
            Progress::Stored => (Stage::Stored, None),
        };
        let record = found.map(Found::record);
        Fate {
            receipt_id: receipt_id.to_string(),
            status,
            reason: submission.reason.or_else(|| waits_for.map(str::to_owned)),
            received_at: Some(submission.received_at),
            block_height: found.map(|found| found.header().height.get()),
            tx_hash: found.map(|found| found.transaction().to_string()),
            image_hashes: record
                .map(|record| record.images().iter().map(|image| image.digest).collect())
                .unwrap_or_default(),
            receipt,
        }
    }
}
