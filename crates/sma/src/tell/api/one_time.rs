//! Epochs and batches of one-time keys.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, response::IntoResponse, response::Response};
use birthmark_http::{ApiError, Json as Body, body};
use birthmark_protocol::Timestamp;
use birthmark_protocol::api::EpochStatements;
use birthmark_protocol::one_time::batch::{
    BatchChallenge, BatchOpening, BatchRequest, BatchSignatures, MAX_BATCH_BYTES,
};
use birthmark_protocol::one_time::{EpochStatement, SignedEpochStatement};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::clock;
use crate::tell::operators::Operator;

/// An epoch to be made now.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEpoch {
    /// The model.
    pub family: String,
    /// Its number; the present one if left out.
    #[serde(default)]
    pub epoch: Option<u32>,
}

/// Keys that shall not count any more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawEpoch {
    /// The model.
    pub family: String,
    /// Its number; all epochs of the model if left out.
    #[serde(default)]
    pub epoch: Option<u32>,
    /// The block time from which they do not count, in seconds since 1970; now if left out.
    #[serde(default)]
    pub from: Option<i64>,
}

/// An epoch as operators see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct EpochEntry {
    /// The model.
    pub family: String,
    /// Its number.
    pub epoch: u32,
    /// When it begins, RFC 3339.
    pub from: String,
    /// When it ends, RFC 3339.
    pub until: String,
    /// Until when photos under its keys are taken, RFC 3339.
    pub last: String,
    /// How many signatures were issued under it.
    pub issued: i64,
    /// Whether that number is stated and the secret key gone.
    pub is_closed: bool,
}

/// What this authority states about its epochs, for validators to register.
#[utoipa::path(get, path = "/api/v1/epochs", tag = "One-time keys", responses((status = 200, body = EpochStatements), (status = 404, description = "this authority gives no one-time keys")))]
pub async fn statements(State(api): State<Api>) -> Result<Json<EpochStatements>, ApiError> {
    let authority = &api.authority;
    if authority.settings.one_time.is_none() {
        return Err(ApiError::not_found("this authority gives no one-time keys"));
    }
    Ok(Json(EpochStatements {
        manufacturer_id: authority.settings.manufacturer_id.clone(),
        statements: authority.epoch_statements(clock::now()).await?,
    }))
}

/// Takes a batch of blinded keys and answers with the challenge that decides on those to open.
#[utoipa::path(post, path = "/api/v1/one-time/begin", tag = "One-time keys", request_body = BatchRequest, responses((status = 200, body = BatchChallenge), (status = 404), (status = 409, description = "another batch is open"), (status = 413), (status = 422), (status = 429)))]
pub async fn begin(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<BatchChallenge>, ApiError> {
    let request: BatchRequest = read(request).await?;
    api.authority
        .begin_batch(&request, clock::now())
        .await
        .map(Json)
}

/// Checks the opened keys and signs the others.
#[utoipa::path(post, path = "/api/v1/one-time/open", tag = "One-time keys", request_body = BatchOpening, responses((status = 200, body = BatchSignatures), (status = 400, description = "a key does not hold: the camera gets none any more"), (status = 404), (status = 409), (status = 413), (status = 422)))]
pub async fn open(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<BatchSignatures>, ApiError> {
    let request: BatchOpening = read(request).await?;
    api.authority
        .answer_batch(request, clock::now())
        .await
        .map(Json)
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let bytes = body::read(request, MAX_BATCH_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::field("", error.to_string()))
}

/// All epochs.
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<EpochEntry>>, ApiError> {
    let rows = api.authority.store.epochs().await?;
    let entry = |row: crate::keep::store::EpochRow| {
        let signed = SignedEpochStatement::decode(&row.statement).map_err(ApiError::internal)?;
        let EpochStatement::Key(key) = signed.statement else {
            return Err(ApiError::internal("an epoch without a key"));
        };
        Ok(EpochEntry {
            from: clock::readable(key.from),
            until: clock::readable(key.until),
            last: clock::readable(key.last()),
            family: key.family,
            epoch: key.epoch,
            issued: row.issued,
            is_closed: row.counted.is_some(),
        })
    };
    let entries: Result<_, ApiError> = rows.into_iter().map(entry).collect();
    Ok(Json(entries?))
}

/// Makes an epoch's key now.
pub async fn create(
    State(api): State<Api>,
    Body(request): Body<NewEpoch>,
) -> Result<Response, ApiError> {
    let (authority, now) = (&api.authority, clock::now());
    let settings = authority.settings.one_time.as_ref();
    let settings = settings
        .ok_or_else(|| ApiError::not_found("`one_time` is not set: no one-time keys are given"))?;
    let epoch = match request.epoch {
        Some(epoch) => epoch,
        None => settings.epoch_at(now).map_err(ApiError::internal)?,
    };
    let made = authority.make_epoch(&request.family, epoch, now).await;
    match made.map_err(|error| ApiError::field("family", format!("{error:#}")))? {
        true => Ok((
            StatusCode::CREATED,
            Json(serde_json::json!({ "epoch": epoch })),
        )
            .into_response()),
        false => Err(ApiError::conflict("the epoch has a key already")),
    }
}

/// Takes keys back.
pub async fn withdraw(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<WithdrawEpoch>,
) -> Result<StatusCode, ApiError> {
    let now = clock::now();
    let from = request.from.map_or(now, Timestamp::from_unix);
    let withdrawn =
        api.authority
            .withdraw_epoch(&request.family, request.epoch, from, now, &operator.name);
    match withdrawn
        .await
        .map_err(|error| ApiError::field("family", format!("{error:#}")))?
    {
        true => Ok(StatusCode::CREATED),
        false => Err(ApiError::conflict("these keys are withdrawn already")),
    }
}
