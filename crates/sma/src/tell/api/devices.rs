//! Cameras, for operators.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use birthmark_http::{ApiError, Json as Body};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use crate::clock;
use crate::issue::ca;
use crate::issue::provision::{ProvisionRequest, Provisioned};
use crate::keep::store::{DeviceQuery, DeviceRow};
use crate::tell::operators::Operator;

/// Which cameras to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeviceFilter {
    /// The beginning of a serial or family.
    #[serde(default)]
    pub search: String,
    /// The `next` of the page before.
    #[serde(default)]
    pub after: i64,
    /// How many, at most 500.
    pub limit: Option<i64>,
}

/// A camera as an operator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceAnswer {
    /// The maker's number.
    pub device_serial: String,
    /// The model.
    pub device_family: String,
    /// What it runs, if known.
    pub firmware: Option<String>,
    /// Its tables.
    pub table_assignments: [i64; 3],
    /// `token` or `attested`.
    pub assurance: &'static str,
    /// Whether its NUC hash was made up by this authority: then nothing is known about its sensor.
    pub simulated_nuc: bool,
    /// Whether it binds its tokens to photos.
    pub binds_tokens: bool,
    /// The serial number of its certificate, in hexadecimal.
    pub certificate_serial: Option<String>,
    /// When it was provisioned, RFC 3339.
    pub provisioned_at: String,
    /// Whether a revocation covers it now.
    pub revoked: bool,
    /// Its certificate in PEM; only when asked for one camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_certificate: Option<String>,
}

/// A page of cameras.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicePage {
    /// How many are registered in all.
    pub total: usize,
    /// This page's.
    pub devices: Vec<DeviceAnswer>,
    /// Where the next page begins; null on the last.
    pub next: Option<i64>,
}

fn answer(api: &Api, row: &DeviceRow) -> DeviceAnswer {
    DeviceAnswer {
        device_serial: row.serial.clone(),
        device_family: row.family.clone(),
        firmware: row.firmware.clone(),
        table_assignments: [row.table_a, row.table_b, row.table_c],
        assurance: if row.attested { "attested" } else { "token" },
        simulated_nuc: row.simulated_nuc,
        binds_tokens: row.binds_tokens,
        certificate_serial: row.certificate_serial.as_ref().map(hex::encode),
        provisioned_at: clock::readable(birthmark_protocol::Timestamp::from_unix(
            row.provisioned_at,
        )),
        revoked: is_revoked(api, row),
        device_certificate: None,
    }
}

fn is_revoked(api: &Api, row: &DeviceRow) -> bool {
    let (rules, now) = (api.authority.rules(), clock::now());
    api.authority.with_cameras(|cameras| {
        let device = cameras.by_id(row.id);
        device.is_some_and(|device| rules.covering(device, now).is_some())
    })
}

/// Registers a camera; 200 if it was registered before and whoever holds its key asks for the lost
/// answer.
#[utoipa::path(post, path = "/api/v1/devices/provision", tag = "Cameras", request_body = ProvisionRequest, responses((status = 200, body = Provisioned), (status = 201, body = Provisioned), (status = 401), (status = 409), (status = 422), (status = 503)), security(("operator" = [])))]
pub async fn provision(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Query(form): Query<ChainForm>,
    Body(request): Body<ProvisionRequest>,
) -> Result<(StatusCode, Json<serde_json::Value>), ApiError> {
    ensure_room(&api)?;
    let provisioned = api.authority.provision(&request, &operator).await?;
    let chain = provisioned.file.certificate_chain.concat();
    let mut answer = serde_json::to_value(provisioned.file).map_err(ApiError::internal)?;
    if form.chain.as_deref() == Some("pem")
        && let Some(object) = answer.as_object_mut()
    {
        object.insert("certificate_chain".into(), chain.into());
    }
    let status = if provisioned.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(answer)))
}

/// Refuses to register cameras when the disk has only what the audit log may need.
pub(super) fn ensure_room(api: &Api) -> Result<(), ApiError> {
    if !api.authority.disk_is_low() {
        return Ok(());
    }
    let message = "the disk is full: no camera can be registered";
    Err(ApiError::unavailable(message, Duration::from_secs(60)))
}

/// In which form the chain is wanted.
#[derive(Debug, Default, Deserialize)]
pub struct ChainForm {
    /// `pem`: one text; otherwise a list.
    pub chain: Option<String>,
}

/// Lists cameras.
#[utoipa::path(get, path = "/api/v1/devices", tag = "Cameras", params(DeviceFilter), responses((status = 200, body = DevicePage), (status = 401)), security(("operator" = [])))]
pub async fn list(
    State(api): State<Api>,
    Query(filter): Query<DeviceFilter>,
) -> Result<Json<DevicePage>, ApiError> {
    let limit = filter.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::parameter("query", "limit", "expected 1 to 500"));
    }
    let query = DeviceQuery {
        search: filter.search,
        after: filter.after,
        // One more tells whether another page follows.
        limit: limit + 1,
    };
    let mut rows = api.authority.store.devices(&query).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|amount| amount > limit);
    if more {
        rows.pop();
    }
    Ok(Json(DevicePage {
        total: api.authority.with_cameras(|cameras| cameras.len()),
        next: rows.last().filter(|_| more).map(|row| row.id),
        devices: rows.iter().map(|row| answer(&api, row)).collect(),
    }))
}

/// One camera.
#[utoipa::path(get, path = "/api/v1/devices/{serial}", tag = "Cameras", params(("serial" = String, Path, description = "the maker's number")), responses((status = 200, body = DeviceAnswer), (status = 404)), security(("operator" = [])))]
pub async fn one(
    State(api): State<Api>,
    Path(serial): Path<String>,
) -> Result<Json<DeviceAnswer>, ApiError> {
    let row = api
        .authority
        .store
        .device(&serial)
        .await?
        .ok_or_else(|| ApiError::not_found("no camera with this serial is registered"))?;
    let certificate = api.authority.store.certificate_of(row.id).await?;
    Ok(Json(DeviceAnswer {
        device_certificate: certificate.map(|row| ca::pem(&row.der)),
        ..answer(&api, &row)
    }))
}
