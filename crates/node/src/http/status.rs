//! How the node is doing.

use std::sync::PoisonError;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, site};
use birthmark_protocol::api::{MemberStatus, Status, ValidatorHealth};
use birthmark_protocol::numbers::at_most;
use birthmark_verify::sentences;

use super::{App, FRESH, Shared};
use crate::clock;
use crate::disk::Space;
use crate::store::Kind;

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
            consensus_mode: match validators {
                _ if !self.is_validator() => "follower",
                1 => "single",
                _ => "bft",
            }
            .into(),
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
            trouble: self.pulse.trouble().map(str::to_owned),
            warnings: self.warnings(),
            members: self.members(),
            witnesses: self.witnesses.status(),
        })
    }

    /// The other validators of a network.
    pub fn members(&self) -> Vec<MemberStatus> {
        let tip = self.registry.tip();
        let neighbours = self.neighbours.as_ref();
        neighbours.map_or_else(Vec::new, |all| all.members(&tip, clock::now_millis()))
    }

    /// What does not keep the node from its work, and should be looked at.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.admission.disk().space() {
            Space::Enough => {}
            Space::Little => {
                warnings.push("the disk is nearly full: only signed submissions are taken".into());
            }
            Space::None => warnings.push("the disk is full: no submission is taken".into()),
        }
        for (name, kind) in self.admission.room().full() {
            let whose = if name.is_empty() {
                "software and servers"
            } else {
                name
            };
            let what = match kind {
                Kind::Signed => "signed submissions",
                Kind::Unverified => "tokens without a certificate",
            };
            warnings.push(format!("the queue's share of {whose} is full for {what}"));
        }
        for (name, report) in &self.lanes {
            let is_away = report
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .standing
                .is_away();
            let is_silent = self
                .book
                .get(name)
                .is_some_and(|authority| authority.is_silent());
            if is_away || is_silent {
                warnings.push(format!("the authority {name} does not answer"));
            }
        }
        let tip = self.registry.tip();
        if let Some(neighbours) = &self.neighbours {
            warnings.extend(neighbours.warnings(&tip, &self.name, clock::now_millis()));
        }
        if let Some(waiting) = self.changes.waiting(&tip) {
            let (first, last) = (waiting.change.not_before, waiting.change.not_after);
            warnings.push(format!(
                "a change of validators waits for a block from {first} to {last}: {}",
                waiting.step
            ));
        }
        let height = self.registry.tip().height().get();
        if let Some(halt) = self
            .settings
            .blocks
            .halt_after
            .filter(|halt| height >= *halt)
        {
            warnings.push(format!(
                "this version decides nothing after block {halt}, as blocks.halt_after says: photos wait for the next version"
            ));
        }
        let now = clock::now();
        warnings.extend(
            self.book
                .all()
                .flat_map(|authority| authority.list_troubles(now)),
        );
        warnings
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
    let count = at_most::<i64, u64>;
    app.metrics.height.set(count(tip.height().get()));
    let indexed = app.registry.indexer().newest().height;
    app.metrics.index_height.set(count(indexed.get()));
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
    app.metrics
        .full_shares
        .set(count(app.admission.room().full().len() as u64));
    app.metrics.stale_lists.set(count(stale_lists(&app) as u64));
    app.metrics
        .unhealthy
        .set(i64::from(app.pulse.trouble().is_some()));
    app.metrics.away.set(count(
        app.lanes
            .iter()
            .filter(|(_, report)| is_away(report))
            .count() as u64,
    ));
    if let Some(neighbours) = &app.neighbours {
        let metrics = &app.metrics;
        metrics.linked.set(count(neighbours.linked() as u64));
        metrics.members.set(count(neighbours.expected() as u64));
        metrics.round.set(neighbours.round().map_or(-1, i64::from));
        let found = neighbours.contradictions().len();
        metrics.contradictions.set(count(found as u64));
    }
    site::metrics(app.metrics.registry())
}

fn stale_lists(app: &App) -> usize {
    let now = clock::now();
    let troubles = app
        .book
        .all()
        .map(|authority| authority.list_troubles(now).len());
    troubles.sum()
}

/// Fails when the database cannot be written to or no block can be made. The node looks by itself
/// every few seconds: who asks costs it nothing.
#[utoipa::path(get, path = "/health", tag = "Operation", responses((status = 200, body = ValidatorHealth), (status = 503, body = ValidatorHealth, description = "the database cannot be written to, or no block can be made")))]
pub async fn health(State(app): Shared) -> Response {
    let warnings = app.warnings();
    let (status, body) = match app.pulse.trouble() {
        None => (
            StatusCode::OK,
            ValidatorHealth {
                status: "healthy".into(),
                node_id: Some(app.name.clone()),
                detail: None,
                warnings,
            },
        ),
        Some(trouble) => (
            StatusCode::SERVICE_UNAVAILABLE,
            ValidatorHealth {
                status: "unhealthy".into(),
                node_id: None,
                detail: Some(trouble.into()),
                warnings,
            },
        ),
    };
    (status, [FRESH], axum::Json(body)).into_response()
}
