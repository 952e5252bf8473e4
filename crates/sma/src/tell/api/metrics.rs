//! Numbers for monitoring, in the OpenMetrics text form. None of them says anything about a photo,
//! a camera or a client.

use axum::extract::State;
use axum::response::Response;
use birthmark_http::{ApiError, site};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Api;
use crate::authority::Authority;
use crate::clock;

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Operation", responses((status = 200, content_type = "application/openmetrics-text")), security(("operator" = [])))]
pub async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let database = api.authority.store.ping().await.is_ok();
    Ok(site::metrics(&registry(&api.authority, database)?))
}

/// Everything that is counted elsewhere, read once: nothing has to be kept equal.
fn registry(authority: &Authority, database: bool) -> Result<Registry, ApiError> {
    let mut all = Registry::with_prefix("birthmark_sma");
    let outcomes = Family::<[(&str, &str); 1], Counter>::default();
    for (name, amount) in authority.audit.totals() {
        outcomes.get_or_create(&[("outcome", name)]).inc_by(amount);
    }
    let help = "Validations since the start, by outcome";
    all.register("validations", help, outcomes);
    let cameras = authority.with_cameras(|cameras| cameras.len());
    gauge(&mut all, "devices", "Registered cameras", cameras)?;
    let waiting = authority.audit.backlog();
    let help = "Validations that wait to be written";
    gauge(&mut all, "audit_backlog", help, waiting)?;
    let revocations = authority.revocations();
    let in_force = revocations.iter().filter(|one| one.row.lifted_at.is_none());
    let help = "Revocations that were not lifted";
    gauge(&mut all, "revocations", help, in_force.count())?;
    let low = u8::from(authority.disk_is_low());
    let help = "1 while the disk has less room than is kept in reserve";
    gauge(&mut all, "disk_low", help, low)?;
    let help = "1 while the database answers";
    gauge(&mut all, "database_up", help, u8::from(database))?;
    let left = authority.keyring().issuer.not_after().since(clock::now());
    let help = "Until the intermediate certificate expires";
    gauge(&mut all, "intermediate_seconds_left", help, left.max(0))?;
    Ok(all)
}

fn gauge<N: TryInto<i64>>(
    all: &mut Registry,
    name: &str,
    help: &str,
    value: N,
) -> Result<(), ApiError> {
    let value = value
        .try_into()
        .map_err(|_| ApiError::internal(format!("{name} does not fit a gauge")))?;
    all.register(name, help, ConstGauge::new(value));
    Ok(())
}
