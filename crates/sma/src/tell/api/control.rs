//! What only this machine's administrator may do, through the control socket.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use birthmark_http::{ApiError, Json as Body, body};
use serde::{Deserialize, Serialize};

use super::Api;
use crate::clock;
use crate::keep::audit::{self, ChainReport};
use crate::keep::exchange::{DeviceEntry, DevicesPage, KeyTablesFile};
use crate::keep::store::{OperatorRow, is_duplicate};
use crate::tell::operators::{Operator, Role, draw_token};

/// A token about to be made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose.
    pub name: String,
    /// What it allows.
    pub roles: Vec<String>,
    /// Days until it expires; never if left out.
    pub days: Option<u32>,
}

/// A token, shown once.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// Whose.
    pub name: String,
    /// The token. Only its hash is kept.
    pub token: String,
}

/// A token as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenEntry {
    /// Whose.
    pub name: String,
    /// What it allows.
    pub roles: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Until when it is good.
    pub expires_at: Option<String>,
    /// When it was withdrawn.
    pub revoked_at: Option<String>,
}

/// The root's private key, for the moment of signing a new intermediate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateCa {
    /// The key in PEM.
    pub root_key: String,
    /// What opens it.
    pub passphrase: Option<String>,
}

/// Where a page begins.
#[derive(Debug, Deserialize)]
pub struct After {
    /// The `next` of the page before.
    #[serde(default)]
    pub after: i64,
}

/// Makes a token.
pub async fn create_token(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<NewToken>,
) -> Result<(StatusCode, Json<TokenAnswer>), ApiError> {
    if request.name.is_empty()
        || request.name.len() > 64
        || !request.name.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ApiError::field(
            "name",
            "expected 1 to 64 visible ASCII characters",
        ));
    }
    let unknown = request
        .roles
        .iter()
        .find(|word| Role::of_token(word).is_none());
    if request.roles.is_empty() || unknown.is_some() {
        return Err(ApiError::field(
            "roles",
            "expected some of read, provision, revoke",
        ));
    }
    let (token, hash) = draw_token().map_err(ApiError::internal)?;
    let now = clock::now();
    let row = OperatorRow {
        name: request.name.clone(),
        token_hash: hash.as_bytes().to_vec(),
        roles: request.roles.join(","),
        created_at: now.unix(),
        expires_at: request
            .days
            .map(|days| now.plus(i64::from(days) * 86400).unix()),
        revoked_at: None,
    };
    api.authority
        .store
        .add_operator(&row)
        .await
        .map_err(|error| match is_duplicate(&error) {
            true => ApiError::conflict("there is or was a token of this name"),
            false => error.into(),
        })?;
    api.authority.operators.reload(&api.authority.store).await?;
    api.authority
        .log_act(
            &operator.name,
            "create token",
            &format!("{} ({})", row.name, row.roles),
        )
        .await;
    Ok((
        StatusCode::CREATED,
        Json(TokenAnswer {
            name: row.name,
            token,
        }),
    ))
}

/// Withdraws a token.
pub async fn revoke_token(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !api
        .authority
        .store
        .revoke_operator(&name, clock::now())
        .await?
    {
        return Err(ApiError::not_found("no token of this name is in force"));
    }
    api.authority.operators.reload(&api.authority.store).await?;
    api.authority
        .log_act(&operator.name, "withdraw token", &name)
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists tokens.
pub async fn tokens(State(api): State<Api>) -> Result<Json<Vec<TokenEntry>>, ApiError> {
    let readable =
        |seconds: i64| clock::readable(birthmark_protocol::Timestamp::from_unix(seconds));
    let rows = api.authority.store.operators().await?;
    let entry = |row: OperatorRow| TokenEntry {
        name: row.name,
        roles: row.roles,
        created_at: readable(row.created_at),
        expires_at: row.expires_at.map(readable),
        revoked_at: row.revoked_at.map(readable),
    };
    Ok(Json(rows.into_iter().map(entry).collect()))
}

/// Puts a new intermediate in the place of the one in use.
pub async fn rotate_ca(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<RotateCa>,
) -> Result<StatusCode, ApiError> {
    let subject = api
        .authority
        .rotate_ca(&request.root_key, request.passphrase.as_deref())
        .await?;
    api.authority
        .log_act(&operator.name, "rotate intermediate", &subject)
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a new verdict key in the place of the one in use.
pub async fn rotate_verdict_key(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let pem = api.authority.rotate_verdict_key().await?;
    api.authority
        .log_act(&operator.name, "rotate verdict key", "")
        .await;
    Ok(Json(serde_json::json!({ "public_key": pem })))
}

/// Checks the audit chain.
pub async fn verify_audit(State(api): State<Api>) -> Result<Json<ChainReport>, ApiError> {
    let authority = &api.authority;
    authority.write_audit().await?;
    Ok(Json(
        audit::verify(&authority.store, &authority.vault).await?,
    ))
}

/// All master keys, in the form of authorities in the field.
pub async fn export_key_tables(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
) -> Result<Json<KeyTablesFile>, ApiError> {
    let file = api.authority.export_key_tables().await?;
    api.authority
        .log_act(&operator.name, "export key tables", "")
        .await;
    Ok(Json(file))
}

/// A page of cameras, in the form of authorities in the field.
pub async fn export_devices(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Query(page): Query<After>,
) -> Result<Json<DevicesPage>, ApiError> {
    let answer = api.authority.export_devices(page.after).await?;
    if page.after == 0 {
        api.authority
            .log_act(&operator.name, "export devices", "")
            .await;
    }
    Ok(Json(answer))
}

/// Takes cameras of an authority in the field; how many were new.
pub async fn import_devices(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    request: axum::extract::Request,
) -> Result<Json<serde_json::Value>, ApiError> {
    super::devices::ensure_room(&api)?;
    let entries: Vec<DeviceEntry> = body::parse(&body::read(request, 16 << 20).await?)?;
    let mut imported = 0;
    for (place, entry) in entries.iter().enumerate() {
        imported += usize::from(api.authority.import_device(entry, place).await?);
    }
    api.authority
        .log_act(&operator.name, "import devices", &imported.to_string())
        .await;
    Ok(Json(
        serde_json::json!({ "imported": imported, "known": entries.len() - imported }),
    ))
}
