//! The registry as verifiers of transparency logs follow it: checkpoints, proofs of growth, proofs
//! of inclusion.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path, Query};
use birthmark_ledger::SignedCheckpoint;
use serde::Deserialize;

use super::{App, FRESH, IMMUTABLE, Shared, digest_of};
use crate::registry::{Decided, RegistryError};

pub(super) const TEXT: (header::HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("text/plain; charset=utf-8"),
);

/// Two sizes of the tree.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Sizes {
    /// The earlier number of records.
    old: u64,
    /// The later one.
    new: u64,
}

impl App {
    fn checkpoint_of(&self, decided: &Decided) -> SignedCheckpoint {
        let mut signed = self.registry.checkpoint_of(decided);
        let witnesses = self.witnesses.lines(&signed.checkpoint);
        signed.signatures.extend(witnesses);
        signed
    }
}

/// The newest checkpoint with the validators' cosignatures, and those of witnesses who have signed
/// it already (c2sp.org/tlog-checkpoint).
#[utoipa::path(get, path = "/api/v1/checkpoint", tag = "Transparency", responses((status = 200, description = "a signed note"), (status = 404, description = "no block yet")))]
pub async fn newest(State(app): Shared) -> Result<Response, ApiError> {
    let height = app.registry.tip().height().get();
    let decided = app
        .registry
        .block(height)
        .await?
        .ok_or_else(|| ApiError::not_found("there is no block yet"))?;
    Ok(([TEXT, FRESH], app.checkpoint_of(&decided).to_string()).into_response())
}

/// The newest checkpoint that a witness outside of the registry has cosigned. Witnesses are asked
/// at most every ten seconds, so it may be older than the newest.
#[utoipa::path(get, path = "/api/v1/checkpoint/witnessed", tag = "Transparency", responses((status = 200, description = "a signed note"), (status = 404, description = "no witness has signed yet")))]
pub async fn witnessed(State(app): Shared) -> Result<Response, ApiError> {
    let newest = app.witnesses.newest();
    let newest = newest.ok_or_else(|| ApiError::not_found("no witness has signed yet"))?;
    Ok(([TEXT, FRESH], newest.to_string()).into_response())
}

/// By which keys and how many of them other software accepts a checkpoint of this registry
/// (c2sp.org/tlog-policy).
#[utoipa::path(get, path = "/api/v1/tlog-policy", tag = "Transparency", responses((status = 200, description = "a policy file")))]
pub async fn policy(State(app): Shared) -> Response {
    let tip = app.registry.tip();
    let origin = &app.registry.genesis().chain_id;
    let policy = tip.validators().tlog_policy(origin, app.witnesses.named());
    ([TEXT, FRESH], policy).into_response()
}

/// That the tree of `old` records is the beginning of the tree of `new` records (RFC 6962).
#[utoipa::path(get, path = "/api/v1/consistency", tag = "Transparency", params(Sizes), responses((status = 200, description = "a consistency proof"), (status = 400, description = "no such trees")))]
pub async fn consistency(
    State(app): Shared,
    Query(sizes): Query<Sizes>,
) -> Result<Response, ApiError> {
    if sizes.new > app.registry.tip().frontier().size() {
        return Err(ApiError::bad_request(
            "the registry has not so many records yet",
        ));
    }
    let proof = app.registry.consistency(sizes.old, sizes.new).await;
    let proof = proof.map_err(|error| match error {
        RegistryError::Consistency(error) => ApiError::bad_request(error.to_string()),
        error => error.into(),
    })?;
    Ok(([IMMUTABLE], axum::Json(proof)).into_response())
}

/// The receipt of an image as one text (c2sp.org/tlog-proof).
#[utoipa::path(get, path = "/api/v1/tlog-proof/{image_hash}", tag = "Transparency", responses((status = 200, description = "a tlog proof"), (status = 404, description = "not registered")))]
pub async fn tlog_proof(
    State(app): Shared,
    Path(image_hash): Path<String>,
) -> Result<Response, ApiError> {
    let digest = digest_of(&image_hash)?;
    let page = app.registry.page(&digest, None, 1).await?;
    let found = page
        .found
        .first()
        .ok_or_else(|| ApiError::not_found("this image is not registered"))?;
    let receipt = app.registry.receipt(found).await?;
    let height = found.header().height.get();
    let decided = app.registry.block(height).await?;
    let decided = decided.ok_or_else(|| ApiError::not_found("its block is not decided yet"))?;
    let proof = receipt.to_tlog_proof(app.checkpoint_of(&decided));
    Ok(([TEXT, IMMUTABLE], proof.to_string()).into_response())
}
