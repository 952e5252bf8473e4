//! What anybody may know: keys, health, totals.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use birthmark_protocol::Timestamp;
use birthmark_protocol::api::{AuthorityHealth, VerdictKeyAnswer, VerdictKeys};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::authority::Authority;
use crate::clock;
use crate::issue::ca;
use crate::issue::ca::spki_pem;

/// How old the totals may be, in seconds: anybody may ask for them.
const TOTALS_AGE: i64 = 5;

/// Totals. Names no camera.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    /// Registered cameras.
    pub total_devices: usize,
    /// Validations of the last 24 hours.
    pub recent_validations_24h: i64,
    /// How many of them passed.
    pub recent_passes_24h: i64,
    /// Cameras by model.
    pub device_families: std::collections::BTreeMap<String, u64>,
}

/// The keys verdicts are checked with.
#[utoipa::path(get, path = "/api/v1/verdict-keys", tag = "Keys", responses((status = 200, body = VerdictKeys)))]
pub async fn verdict_keys(State(api): State<Api>) -> Json<VerdictKeys> {
    let keyring = api.authority.keyring();
    let keys = keyring.verdict_keys.iter().map(|key| VerdictKeyAnswer {
        key_id: key.public.id().to_string(),
        public_key: spki_pem(&key.public.to_spki_der()),
        not_before: key.not_before.unix(),
        not_after: key.not_after.unix(),
        distrusted_from: key.distrusted_from.map(Timestamp::unix),
        certificate: ca::pem(&key.certificate),
    });
    Json(VerdictKeys {
        manufacturer_id: api.authority.settings.manufacturer_id.clone(),
        keys: keys.collect(),
    })
}

fn pem_answer(pem: String) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response()
}

/// The root certificates in PEM, newest last.
#[utoipa::path(get, path = "/ca/root.pem", tag = "Keys", responses((status = 200, content_type = "application/x-pem-file")))]
pub async fn root(State(api): State<Api>) -> Response {
    pem_answer(
        api.authority
            .keyring()
            .roots
            .iter()
            .map(|der| ca::pem(der))
            .collect(),
    )
}

/// The intermediate certificates in PEM, newest last.
#[utoipa::path(get, path = "/ca/intermediate.pem", tag = "Keys", responses((status = 200, content_type = "application/x-pem-file")))]
pub async fn intermediate(State(api): State<Api>) -> Response {
    pem_answer(
        api.authority
            .keyring()
            .intermediates
            .iter()
            .map(|der| ca::pem(der))
            .collect(),
    )
}

/// The intermediate certificate in use, in DER.
#[utoipa::path(get, path = "/ca/intermediate.der", tag = "Keys", responses((status = 200, content_type = "application/pkix-cert")))]
pub async fn intermediate_der(State(api): State<Api>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/pkix-cert")],
        api.authority.keyring().issuer.der.clone(),
    )
        .into_response()
}

/// Whether database, keys and disk are well. 503 when one of them is not.
#[utoipa::path(get, path = "/health", tag = "Operation", responses((status = 200, body = AuthorityHealth), (status = 503, body = AuthorityHealth)))]
pub async fn health(State(api): State<Api>) -> Response {
    let word = |well: bool| if well { "ok" } else { "failing" };
    let authority = &api.authority;
    let answered = tokio::time::timeout(Duration::from_secs(3), authority.store.ping()).await;
    let database = matches!(answered, Ok(Ok(())));
    let keys = clock::now() < authority.keyring().issuer.not_after();
    let disk = !authority.disk_is_low();
    let well = database && keys && disk;
    let health = AuthorityHealth {
        status: word(well).into(),
        service: "birthmark-sma".into(),
        database: word(database).into(),
        keys: word(keys).into(),
        disk: word(disk).into(),
        devices_registered: authority.with_cameras(|cameras| cameras.len()),
    };
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health)).into_response()
}

/// Totals, at most a few seconds old.
#[utoipa::path(get, path = "/stats", tag = "Operation", responses((status = 200, body = Stats)))]
pub async fn stats(State(api): State<Api>) -> Result<Response, ApiError> {
    let make = async || {
        let totals = totals(&api.authority).await?;
        let json = serde_json::to_vec(&totals).map_err(ApiError::internal)?;
        Ok(Bytes::from(json))
    };
    let kept = &api.authority.lists.totals;
    let json = kept.get((), TOTALS_AGE, clock::now(), make).await?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, Bytes::clone(&json)).into_response())
}

async fn totals(authority: &Authority) -> Result<Stats, ApiError> {
    // What waits is part of the truth.
    authority.write_audit().await?;
    let counts = authority
        .store
        .hourly_since(clock::now().unix() / 3600 - 23)
        .await?;
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        counts
            .iter()
            .filter(|count| wanted(&count.outcome))
            .map(|count| count.amount)
            .sum()
    };
    let (total_devices, families) =
        authority.with_cameras(|cameras| (cameras.len(), cameras.families()));
    Ok(Stats {
        total_devices,
        recent_validations_24h: sum(&|_| true),
        recent_passes_24h: sum(&|outcome| outcome == "pass"),
        device_families: families
            .into_iter()
            .map(|(name, amount)| (name.to_string(), amount))
            .collect(),
    })
}
