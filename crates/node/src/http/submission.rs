//! What became of a submission.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_ledger::Receipt;
use birthmark_protocol::{Digest, Timestamp};
use serde::Serialize;

use super::{App, FRESH, Shared};
use crate::registry::Found;
use crate::store::{ReceiptId, State as Progress, Submission};

/// What became of a submission.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Fate {
    receipt_id: uuid::Uuid,
    /// `pending_validation`, `validated`, `rejected` or `stored`.
    status: &'static str,
    /// Why it was refused, or what it waits for.
    reason: Option<String>,
    /// When it came, in seconds since 1970.
    #[schema(value_type = i64)]
    received_at: Timestamp,
    /// The block that holds it.
    block_height: Option<u64>,
    /// The transaction that holds it.
    tx_hash: Option<String>,
    /// Its digests.
    #[schema(value_type = Vec<String>)]
    image_hashes: Vec<Digest>,
    /// The receipt, once it is stored.
    #[schema(value_type = Option<Object>)]
    receipt: Option<Receipt>,
}

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
        Some(found) => Some(app.registry.receipt(found).await?),
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
        receipt: Option<Receipt>,
    ) -> Fate {
        let state = match submission.state {
            // In the database already, and about to be stood by.
            Progress::Stored if found.is_none() => Progress::Validated,
            state => state,
        };
        let (status, waits_for) = match state {
            Progress::Waiting => (
                "pending_validation",
                Some("waiting for the answer of the camera's authority"),
            ),
            Progress::Validated => (
                "validated",
                Some("the authority vouches for the camera; waiting for the next block"),
            ),
            Progress::Rejected => ("rejected", None),
            Progress::Stored => ("stored", None),
        };
        let record = found.map(Found::record);
        Fate {
            receipt_id,
            status,
            reason: submission.reason.or_else(|| waits_for.map(str::to_owned)),
            received_at: submission.received_at,
            block_height: found.map(|found| found.header().height.get()),
            tx_hash: found.map(|found| found.transaction().to_string()),
            image_hashes: record
                .map(|record| record.images().iter().map(|image| image.digest).collect())
                .unwrap_or_default(),
            receipt,
        }
    }
}
