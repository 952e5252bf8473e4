//! The first two steps of attested provisioning.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use birthmark_http::{ApiError, Json as Body};
use birthmark_protocol::api::{CredentialAnswer, EvidenceRequest, Nonce};

use super::Api;
use crate::clock;
use crate::issue::attestation::Disbelief;
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
    let nonce = api
        .authority
        .attestations
        .begin(Instant::now())
        .map_err(refusal)?;
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
    let nonce = hex_field("nonce", &request.nonce)?;
    let examined =
        api.authority
            .attestations
            .examine(&nonce, &request.evidence, Instant::now(), clock::now());
    let challenge = examined.map_err(refusal)?;
    Ok((
        StatusCode::OK,
        Json(CredentialAnswer {
            session: hex::encode(challenge.session),
            credential: challenge.credential,
        }),
    ))
}
