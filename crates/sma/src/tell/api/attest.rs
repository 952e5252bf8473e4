//! Chips that prove themselves: the first two steps of provisioning, and a renewal, which needs no
//! operator.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use birthmark_http::{ApiError, Json as Body};
use birthmark_protocol::api::{CredentialAnswer, EvidenceRequest, Nonce, RenewalRequest, Renewed};

use super::devices::ensure_room;
use super::{Api, Caller, charge_questions};
use crate::clock;
use crate::issue::attestation::{Attestations, Disbelief};
use crate::issue::provision::hex_field;

fn refusal(error: Disbelief) -> ApiError {
    match error {
        Disbelief::NotConfigured => ApiError::not_found(error.to_string()),
        Disbelief::Busy => {
            ApiError::unavailable(error.to_string(), std::time::Duration::from_secs(30))
        }
        Disbelief::Random(error) => ApiError::internal(error),
        Disbelief::Nonce => ApiError::field("nonce", error.to_string()),
        Disbelief::Session | Disbelief::Secret => ApiError::bad_request(error.to_string()),
        Disbelief::Evidence(_) | Disbelief::Maker(_) => {
            log::warn!("an attestation was refused: {error}");
            ApiError::field("evidence", error.to_string())
        }
    }
}

/// Gives a nonce.
#[utoipa::path(post, path = "/api/v1/attestation/begin", tag = "Cameras", responses((status = 200, body = Nonce), (status = 404)), security(("operator" = [])))]
pub async fn begin(State(api): State<Api>) -> Result<Json<Nonce>, ApiError> {
    begin_with(&api.authority.attestations)
}

fn begin_with(chips: &Attestations) -> Result<Json<Nonce>, ApiError> {
    let nonce = chips.begin(Instant::now()).map_err(refusal)?;
    Ok(Json(Nonce {
        nonce: hex::encode(nonce),
    }))
}

/// Examines evidence and makes the credential.
#[utoipa::path(post, path = "/api/v1/attestation/evidence", tag = "Cameras", request_body = EvidenceRequest, responses((status = 200, body = CredentialAnswer), (status = 422)), security(("operator" = [])))]
pub async fn evidence(
    State(api): State<Api>,
    Body(request): Body<EvidenceRequest>,
) -> Result<(StatusCode, Json<CredentialAnswer>), ApiError> {
    Ok((
        StatusCode::OK,
        examine_with(&api.authority.attestations, &request)?,
    ))
}

fn examine_with(
    chips: &Attestations,
    request: &EvidenceRequest,
) -> Result<Json<CredentialAnswer>, ApiError> {
    let nonce = hex_field("nonce", &request.nonce)?;
    let examined = chips.examine(&nonce, &request.evidence, Instant::now(), clock::now());
    let challenge = examined.map_err(refusal)?;
    Ok(Json(CredentialAnswer {
        session: hex::encode(challenge.session),
        credential: challenge.credential,
    }))
}

/// Gives a nonce for a renewal. Whoever asks is a stranger until the last step, and pays like one.
#[utoipa::path(post, path = "/api/v1/renewal/begin", tag = "Cameras", responses((status = 200, body = Nonce), (status = 404), (status = 429)))]
pub async fn begin_renewal(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Nonce>, ApiError> {
    charge_questions(&api, &caller, 1.0)?;
    begin_with(&api.authority.renewals)
}

/// Examines evidence for a renewal and makes the credential.
#[utoipa::path(post, path = "/api/v1/renewal/evidence", tag = "Cameras", request_body = EvidenceRequest, responses((status = 200, body = CredentialAnswer), (status = 422), (status = 429)))]
pub async fn renewal_evidence(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<EvidenceRequest>,
) -> Result<Json<CredentialAnswer>, ApiError> {
    charge_questions(&api, &caller, 1.0)?;
    examine_with(&api.authority.renewals, &request)
}

/// The certificate of the camera whose chip has proven itself: a new one in the last third of its
/// life.
#[utoipa::path(post, path = "/api/v1/renewal/certificate", tag = "Cameras", request_body = RenewalRequest, responses((status = 200, body = Renewed), (status = 404), (status = 409), (status = 422), (status = 429), (status = 503)))]
pub async fn renew(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<RenewalRequest>,
) -> Result<Json<Renewed>, ApiError> {
    charge_questions(&api, &caller, 1.0)?;
    ensure_room(&api)?;
    // To its end, also when the camera hangs up in the middle: what is in the database must come
    // into memory, too.
    let renewal = async move { api.authority.renew(&request).await };
    let renewed = tokio::spawn(renewal).await.map_err(ApiError::internal)?;
    renewed.map(Json)
}
