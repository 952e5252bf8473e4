//! Is this image registered?

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path, Query, body};
use birthmark_ledger::receipt::ENDING;
use birthmark_protocol::Digest;
use birthmark_protocol::api::{Finding, Findings, Question};
use serde::Deserialize;

use super::answer::{Sightings, Withdrawals, rank};
use super::headers::{guarded, public};
use super::{App, FRESH, IMMUTABLE, Shared, absence, digest_of, finding};
use crate::registry::Page;

/// How many digests one question may hold.
const MOST: usize = 1000;
/// How many records the answer about one digest shows. Anybody with a camera can register a digest
/// as often as he likes.
pub(super) const SHOWN: usize = 64;
/// How many records of each digest an answer about many shows.
const SHOWN_OF_MANY: usize = 4;
/// A thousand digests take 67,000 bytes.
const LARGEST: usize = 80_000;

/// One digest: 200 if it is registered, 404 with the same fields if not.
#[utoipa::path(get, path = "/api/v1/verify/{image_hash}", tag = "Verification", responses((status = 200, body = Finding), (status = 404, body = Finding, description = "not registered; the same fields"), (status = 422, description = "not 64 hexadecimal characters")))]
pub async fn one(
    State(app): Shared,
    Path(image_hash): Path<String>,
    Query(from): Query<From>,
) -> Result<Response, ApiError> {
    Ok(answer(&app, digest_of(&image_hash)?, from.after).await)
}

/// Where to go on in a list of records.
#[derive(Deserialize)]
pub struct From {
    after: Option<u64>,
}

pub(super) async fn answer(app: &App, digest: Digest, after: Option<u64>) -> Response {
    match app.registry.page(&digest, after, SHOWN).await {
        Ok(page) if page.found.is_empty() && after.is_some() => {
            ApiError::not_found("there are no further records of this image").into_response()
        }
        Ok(page) => spoken(digest, &app.sightings_of(&page, &digest)),
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// The same with every header, if nothing needs to be waited for.
pub(super) fn answer_at_once(app: &App, digest: &Digest) -> Option<Response> {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let nothing = Digest::from_bytes([0; 32]);
        let mut complete = guarded(public(spoken(nothing, &Sightings::default())));
        std::mem::take(complete.headers_mut())
    });
    let page = app.registry.page_at_once(digest, None, SHOWN)?;
    let mut response = match page {
        Ok(page) => spoken(*digest, &app.sightings_of(&page, digest)),
        Err(error) => return Some(guarded(public(ApiError::from(error).into_response()))),
    };
    *response.headers_mut() = HEADERS.clone();
    Some(response)
}

fn spoken(digest: Digest, sightings: &Sightings) -> Response {
    let (status, body) = if sightings.records.is_empty() {
        (StatusCode::NOT_FOUND, absence::text(&digest))
    } else {
        (StatusCode::OK, json(&finding(digest, sightings)))
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
fn json(finding: &Finding<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(2048);
    serde_json::to_writer(&mut body, finding)?;
    Ok(body)
}

/// Up to 1,000 digests in one question.
#[utoipa::path(post, path = "/api/v1/verify", tag = "Verification", request_body = Question, responses((status = 200, body = Findings), (status = 422)))]
pub async fn many(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let client = app.client_of(&request);
    let question: Question = body::parse(&body::read(request, LARGEST).await?)?;
    if question.image_hashes.len() > MOST {
        return Err(ApiError::field(
            "image_hashes",
            format!("at most {MOST} digests at once"),
        ));
    }
    let mut seen = HashSet::new();
    let mut digests = question.image_hashes;
    digests.retain(|digest| seen.insert(*digest));
    // A question about many costs as much as the questions it stands for; the request itself was
    // counted already.
    app.charge(client, digests.len().saturating_sub(1))?;
    let mut found = Vec::with_capacity(digests.len());
    for digest in digests {
        let page = app.registry.page(&digest, None, SHOWN_OF_MANY).await?;
        found.push((digest, app.sightings_of(&page, &digest)));
    }
    let results = found
        .iter()
        .map(|(digest, sightings)| finding(*digest, sightings))
        .collect();
    Ok(([FRESH], axum::Json(Findings { results })).into_response())
}

impl App {
    /// What the records of an image say about it, counted as a lookup.
    pub(super) fn sightings_of(&self, page: &Page, digest: &Digest) -> Sightings {
        let counter = match page.found.as_slice() {
            [] => &self.metrics.misses,
            _ => &self.metrics.hits,
        };
        counter.inc();
        let found = page.found.iter();
        let mut records: Vec<_> = found
            .filter_map(|found| Some((self.sighting(found, digest)?, found)))
            .collect();
        records.sort_by_key(|(sighting, _)| rank(sighting));
        let strongest = records.first().map(|(_, found)| {
            let registered = found.header().time.timestamp();
            self.withdrawals(found.record(), registered)
        });
        let Withdrawals { checked, cautions } = strongest.unwrap_or_default();
        let records = records.into_iter().map(|(sighting, _)| sighting).collect();
        let next = |after| format!("/api/v1/verify/{digest}?after={after}");
        Sightings {
            records,
            more: page.more.map(next),
            checked,
            cautions,
        }
    }
}

/// Which of an image's records.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Which {
    /// The record's index in the registry; the oldest record if it is left out.
    index: Option<u64>,
}

/// The receipt of one record of an image: verifies offline, for ever.
#[utoipa::path(get, path = "/api/v1/receipt/{image_hash}", tag = "Verification", params(Which), responses((status = 200, description = "a receipt, as docs/VERIFYING.md writes it", content_type = "application/octet-stream"), (status = 404, description = "not registered")))]
pub async fn receipt(
    State(app): Shared,
    Path(image_hash): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let digest = digest_of(&image_hash)?;
    // The page that begins at an index begins with its record.
    let before = which.index.and_then(|index| index.checked_sub(1));
    let page = app.registry.page(&digest, before, 1).await?;
    let mut records = page.found.iter();
    let found = match which.index {
        None => records.next(),
        Some(index) => records.find(|found| found.leaf == index),
    };
    let found = found.ok_or_else(|| {
        ApiError::not_found(match which.index {
            None => "this image is not registered",
            Some(_) => "this image has no record of that index",
        })
    })?;
    let receipt = app.registry.receipt(found).await?;
    let name = format!("attachment; filename=\"{digest}.{ENDING}\"");
    let kind = "application/octet-stream".to_owned();
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok(([IMMUTABLE], headers, receipt.encode()).into_response())
}
