//! Revocations: pronounced and lifted by operators, told to everybody.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::{ApiError, Json as Body, body};
use birthmark_protocol::revocations::SignedList;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::judge::rules::{Revocation, Scope};
use crate::tell::operators::Operator;
use crate::tell::revocation::{RevokeRequest, Revoked};

/// A revocation as an operator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevocationAnswer {
    /// Its number.
    pub id: i64,
    /// What it covers.
    pub scope: Scope,
    /// From when, in seconds since 1970.
    pub from: i64,
    /// Until when; for good if null.
    pub until: Option<i64>,
    /// Why, for the authority's own people.
    pub reason: String,
    /// Why, for everybody.
    pub public_reason: Option<String>,
    /// When it was pronounced.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it was lifted.
    pub lifted_at: Option<i64>,
    /// By whom.
    pub lifted_by: Option<String>,
}

/// Pronounces a revocation. It holds for the very next question.
#[utoipa::path(post, path = "/api/v1/revocations", tag = "Revocation", request_body = RevokeRequest, responses((status = 201, body = Revoked), (status = 401), (status = 404), (status = 409), (status = 422)), security(("operator" = [])))]
pub async fn revoke(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<RevokeRequest>,
) -> Result<(StatusCode, Json<Revoked>), ApiError> {
    let revoked = api.authority.revoke(&request, &operator.name).await?;
    Ok((StatusCode::CREATED, Json(revoked)))
}

/// Lifts a revocation.
#[utoipa::path(delete, path = "/api/v1/revocations/{id}", tag = "Revocation", params(("id" = i64, Path, description = "the revocation's number")), responses((status = 204), (status = 401), (status = 404)), security(("operator" = [])))]
pub async fn lift(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    api.authority.lift(id, &operator.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All revocations, also lifted ones, newest first.
#[utoipa::path(get, path = "/api/v1/revocations", tag = "Revocation", responses((status = 200, body = Vec<RevocationAnswer>), (status = 401)), security(("operator" = [])))]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<RevocationAnswer>>, ApiError> {
    let revocations = api.authority.revocations();
    let answer = |one: &Revocation| RevocationAnswer {
        id: one.row.id,
        scope: one.scope.clone(),
        from: one.row.from_time,
        until: one.row.until_time,
        reason: one.row.reason.clone(),
        public_reason: one.row.public_reason.clone(),
        created_at: one.row.created_at,
        created_by: one.row.created_by.clone(),
        lifted_at: one.row.lifted_at,
        lifted_by: one.row.lifted_by.clone(),
    };
    Ok(Json(revocations.iter().rev().map(answer).collect()))
}

/// The signed list with scopes. Poll it with `If-None-Match`: 304 while nothing changed.
#[utoipa::path(get, path = "/revocations", tag = "Revocation", responses((status = 200, body = SignedList), (status = 304)))]
pub async fn feed(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let list = api.authority.signed_list().await?;
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    let etag = (header::ETAG, list.etag.clone());
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == list.etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [etag]).into_response());
    }
    Ok(([etag], Json(&list.list)).into_response())
}

/// The certificate revocation list of the intermediate in use, in DER.
#[utoipa::path(get, path = "/crl", tag = "Revocation", responses((status = 200, content_type = "application/pkix-crl")))]
pub async fn crl(State(api): State<Api>) -> Result<Response, ApiError> {
    crl_answer(api, None).await
}

/// The certificate revocation list of a former intermediate, by the id of its key.
#[utoipa::path(get, path = "/crl/{key_id}", tag = "Revocation", params(("key_id" = String, Path, description = "16 hexadecimal characters")), responses((status = 200, content_type = "application/pkix-crl"), (status = 404)))]
pub async fn crl_of(
    State(api): State<Api>,
    Path(key_id): Path<String>,
) -> Result<Response, ApiError> {
    let key = key_id
        .parse()
        .map_err(|_| ApiError::parameter("path", "key_id", "expected 16 hexadecimal characters"))?;
    crl_answer(api, Some(key)).await
}

async fn crl_answer(
    api: Api,
    key: Option<birthmark_protocol::KeyId>,
) -> Result<Response, ApiError> {
    let der = api.authority.crl(key).await?;
    Ok(([(header::CONTENT_TYPE, "application/pkix-crl")], der).into_response())
}

/// Says whether single certificates are good, RFC 6960.
#[utoipa::path(post, path = "/ocsp", tag = "Revocation", responses((status = 200, content_type = "application/ocsp-response")))]
pub async fn ocsp(
    State(api): State<Api>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    ocsp_answer(&api, body::read(request, body::LARGEST).await?)
}

/// The same for clients that send the request in the path, in base64.
#[utoipa::path(get, path = "/ocsp/{request}", tag = "Revocation", params(("request" = String, Path, description = "the request in base64")), responses((status = 200, content_type = "application/ocsp-response")))]
pub async fn ocsp_get(
    State(api): State<Api>,
    Path(request): Path<String>,
) -> Result<Response, ApiError> {
    let der = STANDARD
        .decode(&request)
        .map_err(|_| ApiError::parameter("path", "request", "expected base64"))?;
    ocsp_answer(&api, der.into())
}

fn ocsp_answer(api: &Api, request: Bytes) -> Result<Response, ApiError> {
    let der = api.authority.ocsp(&request)?;
    Ok(([(header::CONTENT_TYPE, "application/ocsp-response")], der).into_response())
}
