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
        certificate_serial: row.certificate_serial.as_ref().map(hex::encode),
        provisioned_at: clock::readable(birthmark_protocol::Timestamp::from_unix(
            row.provisioned_at,
        )),
        revoked: is_revoked(api, row),
        device_certificate: None,
    }
}

fn is_revoked(api: &Api, row: &DeviceRow) -> bool {
    let tables = [row.table_a, row.table_b, row.table_c].map(birthmark_protocol::TableId::try_from);
    let [Ok(a), Ok(b), Ok(c)] = tables else {
        return false;
    };
    let device = crate::judge::cameras::Device {
        id: row.id,
        tables: [a, b, c],
        family: row.family.as_str().into(),
        firmware: row.firmware.as_deref().map(Into::into),
        attested: row.attested,
        certificate: row.certificate_serial.as_deref().map(|serial| {
            crate::judge::cameras::IssuedCertificate::new(
                serial,
                row.issued_at.unwrap_or_default(),
                None,
            )
        }),
        validations: 0.into(),
    };
    api.authority
        .rules()
        .covering(&device, clock::now())
        .is_some()
}

/// Registers a camera.
#[utoipa::path(post, path = "/api/v1/devices/provision", tag = "Cameras", request_body = ProvisionRequest, responses((status = 201, body = Provisioned), (status = 401), (status = 409), (status = 422), (status = 503)), security(("operator" = [])))]
pub async fn provision(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Query(form): Query<ChainForm>,
    Body(request): Body<ProvisionRequest>,
) -> Result<(StatusCode, Json<serde_json::Value>), ApiError> {
    ensure_room(&api)?;
    let provisioned = api.authority.provision(&request, &operator.name).await?;
    let chain = provisioned.certificate_chain.concat();
    let mut answer = serde_json::to_value(provisioned).map_err(ApiError::internal)?;
    if form.chain.as_deref() == Some("pem")
        && let Some(object) = answer.as_object_mut()
    {
        object.insert("certificate_chain".into(), chain.into());
    }
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Refuses to register cameras when the disk has only what the audit log may need.
pub(super) fn ensure_room(api: &Api) -> Result<(), ApiError> {
    if crate::keep::disk::has_room(&api.authority.settings) {
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
        limit,
    };
    let rows = api.authority.store.devices(&query).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|amount| amount == limit);
    Ok(Json(DevicePage {
        total: api.authority.with_cameras(|cameras| cameras.len()),
        next: rows.last().filter(|_| full).map(|row| row.id),
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
