//! Is this image registered?

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path, body};
use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

use super::{App, Evidence, FRESH, IMMUTABLE, Shared, Sighting, digest_of, json};

/// How many digests one question may hold.
const MOST: usize = 1000;
/// A thousand digests take 67,000 bytes.
const LARGEST: usize = 80_000;

/// Many digests at once.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct Many {
    /// Up to 1,000 digests, in hexadecimal.
    #[schema(value_type = Vec<String>)]
    image_hashes: Vec<Digest>,
}

/// An answer for each digest, in the order of the question.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Answers<'a> {
    results: Vec<Evidence<'a>>,
}

/// One digest: 200 if it is registered, 404 with the same fields if not.
#[utoipa::path(get, path = "/api/v1/verify/{image_hash}", tag = "Verification", responses((status = 200, body = Evidence), (status = 404, body = Evidence, description = "not registered; the same fields"), (status = 422, description = "not 64 hexadecimal characters")))]
pub async fn one(State(app): Shared, Path(image_hash): Path<String>) -> Result<Response, ApiError> {
    Ok(answer(&app, digest_of(&image_hash)?).await)
}

pub(super) async fn answer(app: &App, digest: Digest) -> Response {
    let sightings = match sightings(app, digest).await {
        Ok(sightings) => sightings,
        Err(error) => return error.into_response(),
    };
    let status = if sightings.is_empty() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    let mut response = json(status, &Evidence::of(digest, &sightings));
    let (name, value) = FRESH;
    response.headers_mut().insert(name, value);
    response
}

/// Up to 1,000 digests in one question.
#[utoipa::path(post, path = "/api/v1/verify", tag = "Verification", request_body = Many, responses((status = 200, body = Answers), (status = 422)))]
pub async fn many(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let many: Many = body::parse(&body::read(request, LARGEST).await?)?;
    if many.image_hashes.len() > MOST {
        return Err(ApiError::field(
            "image_hashes",
            format!("at most {MOST} digests at once"),
        ));
    }
    let mut found = Vec::with_capacity(many.image_hashes.len());
    for digest in many.image_hashes {
        found.push((digest, sightings(&app, digest).await?));
    }
    let results = found
        .iter()
        .map(|(digest, sightings)| Evidence::of(*digest, sightings))
        .collect();
    Ok(([FRESH], axum::Json(Answers { results })).into_response())
}

pub(super) async fn sightings(app: &App, digest: Digest) -> Result<Vec<Sighting>, ApiError> {
    let found = app.registry.find(&digest).await?;
    let sightings = found
        .iter()
        .filter_map(|found| app.sighting(found, &digest));
    Ok(sightings.collect())
}

/// The receipt of the first record of an image: verifies offline, for ever.
#[utoipa::path(get, path = "/api/v1/receipt/{image_hash}", tag = "Verification", responses((status = 200, description = "a receipt"), (status = 404, description = "not registered")))]
pub async fn receipt(
    State(app): Shared,
    Path(image_hash): Path<String>,
) -> Result<Response, ApiError> {
    let digest = digest_of(&image_hash)?;
    let found = app.registry.find(&digest).await?;
    let found = found
        .first()
        .ok_or_else(|| ApiError::not_found("this image is not registered"))?;
    let receipt = app.registry.receipt(found).await?;
    Ok(([IMMUTABLE], axum::Json(receipt)).into_response())
}
