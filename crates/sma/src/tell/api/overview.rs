//! What an operator looks at: validations by the hour, failures by reason, tables in use, unusual
//! cameras, acts.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use birthmark_http::ApiError;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::clock;
use crate::keep::audit::Act;
use crate::tell::operators::Operator;

/// How far back the plot goes.
const HOURS: i64 = 48;

/// Validations of one hour.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Hour {
    /// Seconds since 1970 at its beginning.
    pub start: i64,
    /// How many passed.
    pub passed: i64,
    /// How many did not.
    pub failed: i64,
}

/// A camera that was unusually busy.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlagAnswer {
    /// The maker's number.
    pub device_serial: String,
    /// Which day, RFC 3339.
    pub day: String,
    /// How many validations that day.
    pub validations: i64,
    /// How many there ordinarily are a day.
    pub ordinary: f64,
    /// Who looked at it.
    pub reviewed_by: Option<String>,
}

/// An act of an operator.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActAnswer {
    /// When, RFC 3339.
    pub time: String,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
}

/// Everything at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Who this is.
    pub manufacturer_id: String,
    /// Whether this is a rehearsal: then whoever is on this machine may do everything.
    pub rehearsal: bool,
    /// Registered cameras.
    pub total_devices: usize,
    /// How many of them have a NUC hash that was made up.
    pub simulated_nucs: usize,
    /// Cameras by model.
    pub device_families: BTreeMap<String, u64>,
    /// The last 48 hours, oldest first, also those without any.
    pub hours: Vec<Hour>,
    /// Failures of those hours by reason.
    pub failures: BTreeMap<String, i64>,
    /// How many tables no camera holds.
    pub unused_tables: usize,
    /// How many tables are held by how many cameras: pairs of cameras and tables.
    pub table_use: Vec<(u32, usize)>,
    /// Unusually busy cameras, newest first.
    pub flags: Vec<FlagAnswer>,
    /// The newest acts of operators.
    pub acts: Vec<ActAnswer>,
}

/// Everything at a glance.
#[utoipa::path(get, path = "/api/v1/overview", tag = "Operation", responses((status = 200, body = Overview), (status = 401)), security(("operator" = [])))]
pub async fn overview(State(api): State<Api>) -> Result<Json<Overview>, ApiError> {
    let authority = &api.authority;
    authority.write_audit().await?;
    let first = clock::now().unix() / 3600 - HOURS + 1;
    let mut hours: Vec<Hour> = (first..first + HOURS)
        .map(|hour| Hour {
            start: hour * 3600,
            ..Hour::default()
        })
        .collect();
    let mut failures = BTreeMap::new();
    for count in authority.store.hourly_since(first).await? {
        let Some(hour) = usize::try_from(count.hour - first)
            .ok()
            .and_then(|place| hours.get_mut(place))
        else {
            continue;
        };
        if count.outcome == "pass" {
            hour.passed += count.amount;
        } else {
            hour.failed += count.amount;
            *failures.entry(count.outcome).or_default() += count.amount;
        }
    }
    let (total_devices, simulated_nucs, families, tables) = authority.with_cameras(|cameras| {
        let simulated = cameras.iter().filter(|device| device.simulated_nuc);
        (
            cameras.len(),
            simulated.count(),
            cameras.families(),
            cameras.tables_in_use(),
        )
    });
    let mut table_use = BTreeMap::new();
    tables
        .iter()
        .for_each(|amount| *table_use.entry(*amount).or_default() += 1);
    Ok(Json(Overview {
        manufacturer_id: authority.settings.manufacturer_id.clone(),
        rehearsal: authority.settings.rehearsal,
        total_devices,
        simulated_nucs,
        device_families: families
            .into_iter()
            .map(|(name, amount)| (name.to_string(), amount))
            .collect(),
        hours,
        failures,
        unused_tables: tables.iter().filter(|amount| **amount == 0).count(),
        table_use: table_use.into_iter().collect(),
        flags: flags(&api).await?,
        acts: acts(&api).await?,
    }))
}

async fn flags(api: &Api) -> Result<Vec<FlagAnswer>, ApiError> {
    let flags = api.authority.store.flags(50).await?;
    let answer = |flag: crate::keep::store::Flag| FlagAnswer {
        device_serial: flag.serial,
        day: clock::readable(birthmark_protocol::Timestamp::from_unix(flag.day * 86400)),
        validations: flag.amount,
        ordinary: flag.ordinary,
        reviewed_by: flag.reviewed_by,
    };
    Ok(flags.into_iter().map(answer).collect())
}

async fn acts(api: &Api) -> Result<Vec<ActAnswer>, ApiError> {
    let rows = api.authority.store.recent_acts(50).await?;
    let acts = rows
        .iter()
        .filter_map(|row| serde_json::from_slice::<Act>(&row.content).ok());
    let answer = |act: Act| ActAnswer {
        time: clock::readable(birthmark_protocol::Timestamp::from_unix(act.time)),
        actor: act.actor,
        action: act.action,
        target: act.target,
    };
    Ok(acts.map(answer).collect())
}

/// Marks a camera's unusual days as looked at.
#[utoipa::path(post, path = "/api/v1/devices/{serial}/reviewed", tag = "Cameras", params(("serial" = String, Path, description = "the maker's number")), responses((status = 204), (status = 404)), security(("operator" = [])))]
pub async fn reviewed(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Path(serial): Path<String>,
) -> Result<axum::http::StatusCode, ApiError> {
    if api
        .authority
        .store
        .review_flags(&serial, &operator.name, clock::now())
        .await?
        == 0
    {
        return Err(ApiError::not_found(
            "this camera has no flag that nobody looked at",
        ));
    }
    api.authority
        .log_act(&operator.name, "review flags", &serial)
        .await;
    Ok(axum::http::StatusCode::NO_CONTENT)
}
