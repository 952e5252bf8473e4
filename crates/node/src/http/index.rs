//! The index and the registry in parts: answers that tell the answerer little about the question,
//! and that never change.
//!
//! Whoever can change these answers can at most keep them away: each is checked against a decided
//! header.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_ledger::header::HEADER_BYTES;
use birthmark_ledger::index::Prefix;
use birthmark_ledger::part::{PART_HEADERS, PART_RECORDS};
use birthmark_ledger::{Frontier, HeadersPart, Height, RecordsPart};
use birthmark_protocol::api::{Notice, Notices};

use super::{COME_BACK, FRESH, IMMUTABLE, Shared};

/// No range is answered that would hold more photos than this, give or take chance: it would take
/// megabytes.
const MOST_PHOTOS: u64 = 32_768;

const BYTES: (HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/octet-stream"),
);

/// Every digest that begins with some bits, with all records that hold it and the proof that none
/// was left out. `prefix` is written in `0` and `1`, or `all`.
#[utoipa::path(get, path = "/api/v1/index/{height}/{prefix}", tag = "Index", responses((status = 200, description = "a range of the index, as docs/LEDGER.md writes it"), (status = 404, description = "the index after this block is not kept"), (status = 422, description = "no prefix, or too wide a range"), (status = 503, description = "the index is still being made")))]
pub async fn range(
    State(app): Shared,
    Path((height, prefix)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let height = number("height", &height)?;
    let prefix: Prefix = prefix
        .parse()
        .map_err(|error| ApiError::parameter("path", "prefix", format!("{error}")))?;
    let records = app.registry.tip().frontier().size();
    let least = Prefix::hiding(prefix.first(), records, MOST_PHOTOS).width();
    if prefix.width() < least {
        let reason = format!("a range of this registry has at least {least} bits");
        return Err(ApiError::parameter("path", "prefix", reason));
    }
    let indexer = app.registry.indexer();
    let tree = indexer.tree(Height::new(height)).ok_or_else(|| {
        let is_to_come = (indexer.newest().height.get()..=app.registry.tip().height().get())
            .contains(&height);
        match is_to_come {
            true => ApiError::unavailable("the index is still being made", COME_BACK),
            false => ApiError::not_found(
                "the index after this block is not kept: the header of /api/v1/head names the newest",
            ),
        }
    })?;
    Ok(([BYTES, IMMUTABLE], tree.answer(prefix)).into_response())
}

/// The blocks around 1,024 records, with their certificates.
#[utoipa::path(get, path = "/api/v1/records/{part}", tag = "Index", responses((status = 200, description = "a part of the registry, as docs/LEDGER.md writes it"), (status = 404, description = "the registry has no such part yet")))]
pub async fn records(State(app): Shared, Path(part): Path<String>) -> Result<Response, ApiError> {
    let tip = app.registry.tip();
    let size = tip.frontier().size();
    let (first, end) = bounds(number("part", &part)?, PART_RECORDS)
        .filter(|(first, _)| *first < size)
        .ok_or_else(|| ApiError::not_found("the registry has no such part yet"))?;
    let store = app.registry.store();
    let mut blocks = store.blocks_of_leaves(first, end.min(size)).await?;
    blocks.retain(|block| block.height <= tip.height().get());
    let before = match blocks.first().map(|block| block.height - 1) {
        None | Some(0) => Frontier::new().encode(),
        Some(before) => {
            let before = store.block(before).await?;
            let missing = || ApiError::internal("the block before a part is missing");
            before.ok_or_else(missing)?.frontier
        }
    };
    let parts = blocks
        .iter()
        .map(|block| (block.body.as_slice(), block.certificate.as_slice()));
    let caching = if end <= size { IMMUTABLE } else { FRESH };
    Ok(([BYTES, caching], RecordsPart::write(&before, parts)).into_response())
}

/// 256 decided headers.
#[utoipa::path(get, path = "/api/v1/headers/{part}", tag = "Index", responses((status = 200, description = "a part of the registry, as docs/LEDGER.md writes it"), (status = 404, description = "the registry has no such part yet")))]
pub async fn headers(State(app): Shared, Path(part): Path<String>) -> Result<Response, ApiError> {
    let height = app.registry.tip().height().get();
    let (first, end) = bounds(number("part", &part)?, PART_HEADERS)
        .filter(|(first, _)| *first < height)
        .ok_or_else(|| ApiError::not_found("the registry has no such part yet"))?;
    let headers = app
        .registry
        .store()
        .headers(first, end.min(height), HEADER_BYTES)
        .await?;
    let pairs = headers
        .iter()
        .map(|(header, certificate)| (header.as_slice(), certificate.as_slice()));
    let caching = if end <= height { IMMUTABLE } else { FRESH };
    Ok(([BYTES, caching], HeadersPart::write(pairs)).into_response())
}

/// Everything that this validator knows against records: what a question that names no photo is
/// completed with.
#[utoipa::path(get, path = "/api/v1/notices", tag = "Index", responses((status = 200, body = Notices)))]
pub async fn notices(State(app): Shared) -> Response {
    let own = app.settings.notices.iter().map(|notice| Notice {
        authority: notice.authority.clone(),
        device_family: notice.device_family.clone(),
        from: notice.from,
        until: notice.until,
        reason: notice.reason.clone(),
    });
    let theirs = app.book.all().flat_map(|authority| authority.notices());
    let notices = own.chain(theirs).collect();
    ([FRESH], axum::Json(Notices { notices })).into_response()
}

/// Before the first of a part, and its end.
fn bounds(part: u64, width: u64) -> Option<(u64, u64)> {
    let first = part.checked_mul(width)?;
    Some((first, first.checked_add(width)?))
}

fn number(name: &str, text: &str) -> Result<u64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::parameter("path", name, "expected a number"))
}
