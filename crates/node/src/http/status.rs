//! How the node is doing.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, site};
use birthmark_protocol::api::{Status, ValidatorHealth};
use birthmark_verify::sentences;

use super::{App, FRESH, Shared};

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
                sentences::block_moment(tip.time())
            } else {
                None
            },
            validator_nodes: validators,
            consensus_mode: if validators == 1 { "single" } else { "bft" }.into(),
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
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    /// Succeeds when the database answers.
    pub async fn check(&self) -> anyhow::Result<()> {
        self.registry.store().check().await
    }
}

/// The node's state.
#[utoipa::path(get, path = "/api/v1/status", tag = "Operation", responses((status = 200, body = Status)))]
pub async fn status(State(app): Shared) -> Result<Response, ApiError> {
    Ok(([FRESH], axum::Json(app.status().await?)).into_response())
}

/// Numbers for monitoring.
#[utoipa::path(get, path = "/metrics", tag = "Operation", responses((status = 200, description = "OpenMetrics text")))]
pub async fn metrics(State(app): Shared) -> Response {
    let tip = app.registry.tip();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    app.metrics.height.set(count(tip.height().get()));
    app.metrics.records.set(count(tip.frontier().size()));
    app.metrics.waiting.set(count(app.admission.queued()));
    app.metrics
        .filter_bytes
        .set(count(app.registry.filter().bytes() as u64));
    app.metrics
        .in_memory
        .set(i64::from(app.registry.index().is_complete()));
    app.metrics
        .index_bytes
        .set(count(app.registry.index().bytes() as u64));
    app.metrics
        .kept_bytes
        .set(count(app.registry.kept_bytes() as u64));
    let is_away = |report: &std::sync::Mutex<crate::authority::LaneReport>| {
        report
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .standing
            .is_away()
    };
    app.metrics.away.set(count(
        app.lanes
            .iter()
            .filter(|(_, report)| is_away(report))
            .count() as u64,
    ));
    site::metrics(app.metrics.registry())
}

/// Fails when the database or the signer does.
#[utoipa::path(get, path = "/health", tag = "Operation", responses((status = 200, body = ValidatorHealth), (status = 503, body = ValidatorHealth, description = "the database does not answer")))]
pub async fn health(State(app): Shared) -> Response {
    let (status, body) = match app.check().await {
        Ok(()) => (
            StatusCode::OK,
            ValidatorHealth {
                status: "healthy".into(),
                node_id: Some(app.name.clone()),
                detail: None,
            },
        ),
        Err(error) => {
            // Told where it is noticed first; whoever asks here may ask every second.
            log::debug!("health check: {error:#}");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                ValidatorHealth {
                    status: "unhealthy".into(),
                    node_id: None,
                    detail: Some("the database does not answer".into()),
                },
            )
        }
    };
    (status, [FRESH], axum::Json(body)).into_response()
}
