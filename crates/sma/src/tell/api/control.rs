//! What only this machine's administrator may do, through the control socket.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use birthmark_http::{ApiError, Json as Body, body};
use birthmark_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::clock;
use crate::keep::audit::{self, ChainReport};
use crate::keep::exchange::{DeviceEntry, DevicesPage, KeyTablesFile};
use crate::keep::rows;
use crate::keep::store::{OperatorRow, is_duplicate};
use crate::tell::operators::{Operator, OperatorsError, Role, draw_token};

/// For how many days a token that enrols cameras is good if nothing else is said.
const ENROLMENT_DAYS: u32 = 7;

/// A token about to be made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose.
    pub name: String,
    /// What it allows.
    pub roles: Vec<String>,
    /// Days until it expires; if left out, 7 for one that enrols cameras and never for others.
    pub days: Option<u32>,
    /// The cameras that a token with the role `provision` enrols, each once.
    #[serde(default)]
    pub serials: Vec<String>,
    /// How many cameras it enrols, whichever they are.
    #[serde(default)]
    pub cameras: Option<u32>,
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
    /// The cameras it enrols.
    pub serials: Option<Vec<String>>,
    /// How many cameras it enrols.
    pub cameras: Option<i64>,
    /// How many it has enrolled.
    pub used: i64,
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

/// A key that may have been in other hands.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distrust {
    /// Its id, 16 hexadecimal characters.
    pub key: String,
    /// Since when, in seconds since 1970.
    pub from: i64,
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
        let known = Role::OF_TOKENS.map(Role::name).join(", ");
        return Err(ApiError::field(
            "roles",
            format!("expected some of {known}"),
        ));
    }
    let (token, hash) = draw_token().map_err(ApiError::internal)?;
    let (serials, cameras) = enrols(&request)?;
    let now = clock::now();
    let days = request.days.or(cameras.map(|_| ENROLMENT_DAYS));
    let row = OperatorRow {
        name: request.name.clone(),
        token_hash: hash.as_bytes().to_vec(),
        roles: request.roles.join(","),
        serials,
        cameras,
        used: 0,
        created_at: now.unix(),
        expires_at: days.map(|days| now.plus(i64::from(days) * 86400).unix()),
        revoked_at: None,
        mac: Vec::new(),
    };
    let authority = &api.authority;
    let added = authority
        .operators
        .add(&authority.store, &authority.vault, &row)
        .await;
    added.map_err(|error| match error {
        OperatorsError::Database(error) if is_duplicate(&error) => {
            ApiError::conflict("there is or was a token of this name")
        }
        other => other.into(),
    })?;
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

/// Which cameras a token enrols, as a JSON list or without names, and how many. One that enrols
/// cameras says which or how many: lost, it is worth no more than that.
fn enrols(request: &NewToken) -> Result<(Option<String>, Option<i64>), ApiError> {
    let provision = request
        .roles
        .iter()
        .any(|role| role == Role::Provision.name());
    match (provision, &*request.serials, request.cameras) {
        (false, [], None) => Ok((None, None)),
        (false, ..) => Err(ApiError::field(
            "roles",
            "only a token with the role provision enrols cameras",
        )),
        (true, [], Some(cameras)) if cameras > 0 => Ok((None, Some(cameras.into()))),
        (true, serials @ [_, ..], None) => {
            let names = serde_json::to_string(serials).map_err(ApiError::internal)?;
            let amount = i64::try_from(serials.len()).map_err(ApiError::internal)?;
            Ok((Some(names), Some(amount)))
        }
        (true, ..) => Err(ApiError::field(
            "serials",
            "a token that enrols cameras names either them or, in `cameras`, how many",
        )),
    }
}

/// Withdraws a token.
pub async fn revoke_token(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let authority = &api.authority;
    let withdrawn =
        authority
            .operators
            .withdraw(&authority.store, &authority.vault, &name, clock::now());
    if !withdrawn.await? {
        return Err(ApiError::not_found("no token of this name is in force"));
    }
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
    let serials = |list: &String| serde_json::from_str(list).map_err(ApiError::internal);
    let entry = |row: OperatorRow| {
        Ok(TokenEntry {
            name: row.name,
            roles: row.roles,
            serials: row.serials.as_ref().map(serials).transpose()?,
            cameras: row.cameras,
            used: row.used,
            created_at: readable(row.created_at),
            expires_at: row.expires_at.map(readable),
            revoked_at: row.revoked_at.map(readable),
        })
    };
    let entries = rows.into_iter().map(entry);
    entries.collect::<Result<_, ApiError>>().map(Json)
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

/// Declares that a key may have been in other hands.
pub async fn distrust(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Body(request): Body<Distrust>,
) -> Result<StatusCode, ApiError> {
    let key = request
        .key
        .parse()
        .map_err(|_| ApiError::field("key", "expected 16 hexadecimal characters"))?;
    let from = Timestamp::from_unix(request.from);
    api.authority.distrust(key, from).await?;
    let target = format!("{} from {}", request.key, clock::readable(from));
    api.authority
        .log_act(&operator.name, "distrust key", &target)
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets the chip that enrolled a camera enrol another one.
pub async fn release_chip(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Path(serial): Path<String>,
) -> Result<StatusCode, ApiError> {
    let authority = &api.authority;
    let row = authority.store.device(&serial).await?;
    let row = row.filter(|row| row.chip.is_some());
    let row = row.ok_or_else(|| ApiError::not_found("no chip has enrolled this camera"))?;
    rows::check(&authority.vault, &row).map_err(ApiError::internal)?;
    let released = authority.store.release_chip(&authority.vault, &row);
    if !released.await? {
        // Its chip renews its certificate at this very moment.
        return Err(ApiError::conflict(
            "the camera was changed meanwhile; ask again",
        ));
    }
    authority
        .log_act(&operator.name, "release chip", &serial)
        .await;
    Ok(StatusCode::NO_CONTENT)
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
    let (mut imported, mut refused) = (0, None);
    for (place, entry) in entries.iter().enumerate() {
        let taken = api.authority.import_device(entry, place, &operator.name);
        match taken.await {
            Ok(is_new) => imported += usize::from(is_new),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    // Those before a refused one are registered, and the log has to say so.
    api.authority
        .log_act(&operator.name, "import devices", &imported.to_string())
        .await;
    if let Some(error) = refused {
        return Err(error);
    }
    Ok(Json(
        serde_json::json!({ "imported": imported, "known": entries.len() - imported }),
    ))
}
