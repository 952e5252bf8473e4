//! Is this image registered?

use std::sync::LazyLock;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path, body};
use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};

use super::headers::{guarded, public};
use super::{App, Evidence, FRESH, IMMUTABLE, Shared, Sighting, absence, digest_of};
use crate::registry::Found;

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
    match sightings(app, digest).await {
        Ok(sightings) => spoken(digest, &sightings),
        Err(error) => error.into_response(),
    }
}

/// The same with every header, if nothing needs to be waited for.
pub(super) fn answer_at_once(app: &App, digest: &Digest) -> Option<Response> {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let nothing = Digest::from_bytes([0; 32]);
        let mut complete = guarded(public(spoken(nothing, &[])));
        std::mem::take(complete.headers_mut())
    });
    let found = app.registry.find_at_once(digest)?;
    let mut response = match found {
        Ok(found) => spoken(*digest, &app.sightings_of(&found, digest)),
        Err(error) => return Some(guarded(public(ApiError::from(error).into_response()))),
    };
    *response.headers_mut() = HEADERS.clone();
    Some(response)
}

fn spoken(digest: Digest, sightings: &[Sighting]) -> Response {
    let (status, body) = match sightings {
        [] => (StatusCode::NOT_FOUND, Ok(absence::text(&digest))),
        _ => (StatusCode::OK, json(&Evidence::of(digest, sightings))),
    };
    match body {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, kind), FRESH], body).into_response()
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// JSON in one piece of memory that most answers fit.
fn json(evidence: &Evidence<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(2048);
    serde_json::to_writer(&mut body, evidence)?;
    Ok(body)
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
    Ok(app.sightings_of(&found, &digest))
}

impl App {
    /// What the records of an image say about it, counted as a lookup.
    fn sightings_of(&self, found: &[Found], digest: &Digest) -> Vec<Sighting> {
        let counter = match found {
            [] => &self.metrics.misses,
            _ => &self.metrics.hits,
        };
        counter.inc();
        found
            .iter()
            .filter_map(|found| self.sighting(found, digest))
            .collect()
    }
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
