//! The node's HTTP interface.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{get, post};
use birthmark_http::site::{self, RateLimit};
use birthmark_http::{ApiError, LogThrottle, Seats};
use birthmark_ledger::ValidatorId;
use birthmark_protocol::Digest;
use tower::ServiceBuilder;
use tower_http::cors::CorsLayer;

use crate::admission::Admission;
use crate::authorities::AuthorityBook;
use crate::authority::LaneReport;
use crate::changes::Changes;
use crate::metrics::Metrics;
use crate::network::Neighbours;
use crate::pulse::Pulse;
use crate::registry::{Registry, RegistryError};
use crate::settings::Settings;
use crate::store::StoreError;
use crate::witness::{Witness, Witnesses};

mod absence;
mod answer;
mod blocks;
mod checkpoints;
mod epochs;
mod events;
mod front;
mod headers;
mod index;
mod limits;
mod members;
mod openapi;
mod pages;
mod provenance;
mod servers;
mod status;
mod submission;
mod submit;
mod tiles;
mod verify;
mod witness;

pub use answer::{finding, no_finding};
pub use front::Front;
pub use openapi::document;

/// What every handler needs.
pub struct App {
    /// The registry.
    pub registry: Arc<Registry>,
    /// Takes submissions.
    pub admission: Arc<Admission>,
    /// Who may vouch.
    pub book: Arc<AuthorityBook>,
    /// The configuration.
    pub settings: Settings,
    /// This node's name.
    pub name: String,
    /// Which validator it is, where its key is one's.
    pub own: ValidatorId,
    /// The change of validators that waits.
    pub changes: Arc<Changes>,
    /// How the authorities have been answering, by name.
    pub lanes: Vec<(String, Arc<Mutex<LaneReport>>)>,
    /// What is counted.
    pub metrics: Metrics,
    /// What each client may submit.
    pub submissions: RateLimit,
    /// What else each client may ask.
    pub requests: RateLimit,
    /// Proofs that did not hold.
    pub forgeries: LogThrottle,
    /// Seats of those who listen for new blocks.
    pub event_seats: Seats,
    /// Whether the node can do its work.
    pub pulse: Arc<Pulse>,
    /// The other validators, where there are several.
    pub neighbours: Option<Neighbours>,
    /// Who is asked to cosign this registry's checkpoints.
    pub witnesses: Witnesses,
    /// Where this validator is a witness of other registries.
    pub witness: Option<Arc<Witness>>,
    /// When the daemon started.
    pub started: Instant,
}

type Shared = axum::extract::State<Arc<App>>;

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/submit", post(submit::submit))
        .route("/api/v1/submit-legacy", post(submit::legacy))
        .route("/api/v1/submit-cert", post(submit::certificate))
        .route("/api/v1/submit-once", post(submit::once))
        .route(
            "/api/v1/submission/{receipt_id}",
            get(submission::submission),
        )
        .route("/api/v1/verify", post(verify::many))
        .route("/api/v1/verify/{image_hash}", get(verify::one))
        .route("/api/v1/blockchain/verify/{image_hash}", get(verify::one))
        .route("/api/v1/receipt/{image_hash}", get(verify::receipt))
        .route("/api/v1/block/{height}", get(blocks::block))
        .route("/api/v1/block/{height}/bytes", get(blocks::bytes))
        .route("/api/v1/blocks", get(blocks::list))
        .route("/api/v1/genesis", get(blocks::genesis))
        .route("/api/v1/head", get(blocks::head))
        .route("/api/v1/epochs", get(epochs::statements))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/blockchain/status", get(status::status))
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics))
        .route("/api/v1/blockchain/submit", post(servers::submit))
        .route(
            "/api/v1/provenance/{image_hash}",
            get(provenance::provenance),
        )
        .route("/api/v1/checkpoint", get(checkpoints::newest))
        .route("/checkpoint", get(checkpoints::newest))
        .route("/api/v1/checkpoint/witnessed", get(checkpoints::witnessed))
        .route("/witness/add-checkpoint", post(witness::add_checkpoint))
        .route("/witness/{origin_hash}/checkpoint", get(witness::last))
        .route("/api/v1/tlog-policy", get(checkpoints::policy))
        .route("/tile/{*path}", get(tiles::tile))
        .route("/api/v1/consistency", get(checkpoints::consistency))
        .route(
            "/api/v1/tlog-proof/{image_hash}",
            get(checkpoints::tlog_proof),
        )
        .route("/api/v1/index/{height}/{prefix}", get(index::range))
        .route("/api/v1/notices", get(index::notices))
        .route("/api/v1/records/{part}", get(index::records))
        .route("/api/v1/headers/{part}", get(index::headers))
        .route("/api/v1/events/blocks", get(events::blocks))
        .route("/api/v1/members/change", post(members::change))
        .merge(pages())
        .fallback(pages::nothing_here)
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "this address does not know that method",
            )
        })
        // One layer of many, outermost first: each layer of its own would cost every request an
        // allocation and a copy.
        .layer(
            ServiceBuilder::new()
                // Anyone may ask from any page: there is nothing here that belongs to a browser's
                // user.
                .layer(CorsLayer::permissive())
                .layer(site::catch_panic())
                .layer(DefaultBodyLimit::disable()),
        )
        .with_state(app)
}

fn pages() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(pages::verify))
        .route("/verify", get(pages::verify))
        .route("/birthmark.html", get(pages::saved))
        .route("/status", get(pages::status))
        .route("/docs", get(pages::docs))
        .route("/openapi.json", get(openapi::json))
        .route("/style.css", get(site::style))
        .route("/favicon.ico", get(site::icon))
        .route("/verify.js", get(pages::verify_script))
        .route("/verifier.js", get(pages::verifier_script))
        .route("/texts.de.json", get(pages::german))
        .route("/verifier.wasm", get(pages::verifier))
        .route("/docs.js", get(site::docs_script))
}

/// A digest in a path: anything else is 422, as the documents say.
fn digest_of(text: &str) -> Result<Digest, ApiError> {
    text.parse()
        .map_err(|error| ApiError::parameter("path", "image_hash", format!("{error}")))
}

/// Answers that never change may be kept by everyone for ever.
const IMMUTABLE: (HeaderName, HeaderValue) = (
    header::CACHE_CONTROL,
    HeaderValue::from_static("public, max-age=31536000, immutable"),
);
/// Answers that change with the next block.
const FRESH: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

/// When a client that was turned away may come back.
const COME_BACK: Duration = Duration::from_secs(5);
