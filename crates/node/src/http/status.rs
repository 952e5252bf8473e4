//! How the node is doing.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use serde::Serialize;
use serde_json::json;

use super::{App, FRESH, Shared};
use crate::words;

/// The documents' fields first, ours after.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Status {
    node_id: String,
    block_height: u64,
    total_hashes: u64,
    pending_submissions: u64,
    /// RFC 3339, UTC.
    last_block_time: Option<String>,
    validator_nodes: usize,
    consensus_mode: &'static str,
    /// Since the daemon started.
    uptime: String,
    chain_id: String,
    genesis_hash: String,
    tree_root: String,
    /// Submissions an authority vouched for, waiting for a block.
    validated_submissions: u64,
    version: &'static str,
}

impl App {
    /// Everything a status page shows.
    pub async fn status(&self) -> Result<Status, ApiError> {
        let tip = self.registry.tip();
        let validated = self.registry.store().pool_waiting().await?.records;
        let seconds = self.started.elapsed().as_secs();
        let genesis = self.registry.genesis();
        let validators = tip.validators().len();
        let has_blocks = tip.height().get() > 0;
        Ok(Status {
            node_id: self.name.clone(),
            block_height: tip.height().get(),
            total_hashes: tip.frontier().size(),
            pending_submissions: self.admission.queued(),
            last_block_time: if has_blocks {
                words::block_moment(tip.time())
            } else {
                None
            },
            validator_nodes: validators,
            consensus_mode: if validators == 1 { "single" } else { "bft" },
            uptime: format!(
                "{}d {:02}h {:02}m {:02}s",
                seconds / 86_400,
                seconds / 3600 % 24,
                seconds / 60 % 60,
                seconds % 60
            ),
            chain_id: genesis.chain_id.to_string(),
            genesis_hash: genesis.hash().to_string(),
            tree_root: tip.frontier().root().to_string(),
            validated_submissions: validated,
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Succeeds when the database answers.
    pub async fn check(&self) -> anyhow::Result<()> {
        Ok(self.registry.store().ping().await?)
    }
}

/// The node's state.
pub async fn status(State(app): Shared) -> Result<Response, ApiError> {
    Ok(([FRESH], axum::Json(app.status().await?)).into_response())
}

/// Fails when the database or the signer does.
pub async fn health(State(app): Shared) -> Response {
    let (status, body) = match app.check().await {
        Ok(()) => (
            StatusCode::OK,
            json!({ "status": "healthy", "node_id": app.name }),
        ),
        Err(error) => {
            log::warn!("health check: {error:#}");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "status": "unhealthy", "detail": "the database does not answer" }),
            )
        }
    };
    (status, [FRESH], axum::Json(body)).into_response()
}
