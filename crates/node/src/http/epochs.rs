//! What authorities stated about their epochs, as the registry holds it: cameras compare it with
//! what their authority says.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::{ApiError, Query};
use birthmark_protocol::api::EpochStatements;
use birthmark_protocol::one_time::SignedEpochStatement;
use serde::Deserialize;

use super::Shared;

/// Whose epochs.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Of {
    /// The authority.
    authority: String,
    /// The device family.
    family: String,
}

/// Everything that is registered about the epochs of one family.
#[utoipa::path(get, path = "/api/v1/epochs", tag = "Registry", params(Of), responses((status = 200, body = EpochStatements), (status = 422)))]
pub async fn statements(
    State(app): Shared,
    Query(of): Query<Of>,
) -> Result<Json<EpochStatements>, ApiError> {
    let epochs = app.registry.epochs();
    let stated = epochs.of_family(&of.authority, &of.family);
    let statements = stated.map(SignedEpochStatement::encode);
    Ok(Json(EpochStatements {
        statements: statements.map(|bytes| STANDARD.encode(bytes)).collect(),
        manufacturer_id: of.authority,
    }))
}
