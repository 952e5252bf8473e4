//! The interface, machine-readable: OpenAPI 3.1 from the handlers' own types.

use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{
    blocks, checkpoints, epochs, events, index, members, provenance, servers, status, submission,
    submit, tiles, verify, witness,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Birthmark validator",
        description = "Registers proofs of photos and answers who asks. Digests are SHA-256 in hexadecimal, in either case."
    ),
    paths(
        submit::submit,
        submit::legacy,
        submit::certificate,
        submit::once,
        epochs::statements,
        servers::submit,
        submission::submission,
        verify::one,
        verify::many,
        verify::receipt,
        provenance::provenance,
        blocks::block,
        blocks::bytes,
        blocks::list,
        blocks::genesis,
        blocks::head,
        events::blocks,
        checkpoints::newest,
        checkpoints::witnessed,
        witness::add_checkpoint,
        witness::last,
        checkpoints::policy,
        tiles::tile,
        checkpoints::consistency,
        checkpoints::tlog_proof,
        index::range,
        index::records,
        index::headers,
        index::notices,
        members::change,
        status::status,
        status::health,
        status::metrics,
    )
)]
struct Document;

/// The document as JSON text.
pub fn document() -> String {
    #[expect(clippy::disallowed_methods, reason = "names and texts are JSON always")]
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// The document.
pub async fn json() -> Response {
    let kind = axum::http::HeaderValue::from_static("application/json");
    ([(axum::http::header::CONTENT_TYPE, kind)], document()).into_response()
}
