//! The authority over HTTP.

mod attest;
pub mod control;
mod devices;
mod metrics;
pub mod one_time;
mod overview;
mod pages;
mod public;
mod revocations;
mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use birthmark_http::{ApiError, ClientAddress, Peer, site};
use tower_http::cors::CorsLayer;

use crate::authority::Authority;
use crate::tell::operators::{Role, is_direct};

/// No answer takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What every handler is given.
#[derive(Debug, Clone)]
pub struct Api {
    /// The authority.
    pub authority: Arc<Authority>,
    /// Whether this machine's users need no token: in a rehearsal that listens on loopback alone.
    pub open: bool,
}

/// Everything the authority serves.
pub fn router(api: Api) -> Router {
    let read = Router::new()
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/devices/{serial}", get(devices::one))
        .route("/api/v1/revocations", get(revocations::list))
        .route("/api/v1/overview", get(overview::overview))
        .route("/metrics", get(metrics::metrics));
    let review = Router::new().route(
        "/api/v1/devices/{serial}/reviewed",
        post(overview::reviewed),
    );
    let provision = Router::new()
        .route("/api/v1/devices/provision", post(devices::provision))
        .route("/api/v1/attestation/begin", post(attest::begin))
        .route("/api/v1/attestation/evidence", post(attest::evidence));
    let revoke = Router::new()
        .route("/api/v1/revocations", post(revocations::revoke))
        .route("/api/v1/revocations/{id}", delete(revocations::lift));
    Router::new()
        .merge(public_routes().layer(cors(&api)))
        .merge(guarded(read, &api, Role::Read))
        .merge(guarded(review, &api, Role::Review))
        .merge(guarded(provision, &api, Role::Provision))
        .merge(guarded(revoke, &api, Role::Revoke))
        .merge(guarded(control_routes(), &api, Role::Administer))
        .fallback(pages::nothing_here)
        .layer(site::catch_panic())
        .layer(from_fn_with_state(api.clone(), around))
        .with_state(api)
}

fn control_routes() -> Router<Api> {
    Router::new()
        .route(
            "/control/tokens",
            get(control::tokens).post(control::create_token),
        )
        .route("/control/tokens/{name}", delete(control::revoke_token))
        .route("/control/rotate-ca", post(control::rotate_ca))
        .route(
            "/control/rotate-verdict-key",
            post(control::rotate_verdict_key),
        )
        .route("/control/distrust", post(control::distrust))
        .route(
            "/control/devices/{serial}/release-chip",
            post(control::release_chip),
        )
        .route(
            "/control/epochs",
            get(one_time::list).post(one_time::create),
        )
        .route("/control/epochs/withdraw", post(one_time::withdraw))
        .route("/control/audit", get(control::verify_audit))
        .route("/control/key-tables", get(control::export_key_tables))
        .route(
            "/control/devices",
            get(control::export_devices).post(control::import_devices),
        )
}

/// Which other origins' pages may read public answers.
fn cors(api: &Api) -> CorsLayer {
    let origins = api
        .authority
        .settings
        .cors_origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::IF_NONE_MATCH])
}

fn public_routes() -> Router<Api> {
    Router::new()
        .route("/validate", post(validate::token))
        .route("/validate-cert", post(validate::certificate))
        .route("/api/v1/validate/nuc", post(validate::nuc))
        .route("/api/v1/validate/batch", post(validate::batch))
        .route("/api/v1/renewal/begin", post(attest::begin_renewal))
        .route("/api/v1/renewal/evidence", post(attest::renewal_evidence))
        .route("/api/v1/renewal/certificate", post(attest::renew))
        .route("/api/v1/verdict-keys", get(public::verdict_keys))
        .route("/api/v1/epochs", get(one_time::statements))
        .route("/api/v1/one-time/begin", post(one_time::begin))
        .route("/api/v1/one-time/open", post(one_time::open))
        .route("/ca/root.pem", get(public::root))
        .route("/ca/intermediate.pem", get(public::intermediate))
        .route("/ca/intermediate.der", get(public::intermediate_der))
        .route("/revocations", get(revocations::feed))
        .route("/crl", get(revocations::crl))
        .route("/crl/{key_id}", get(revocations::crl_of))
        .route("/ocsp", post(revocations::ocsp))
        .route("/ocsp/{request}", get(revocations::ocsp_get))
        .route("/openapi.json", get(pages::openapi))
        .route("/docs", get(pages::docs))
        .route("/docs.js", get(site::docs_script))
        .route("/", get(pages::admin))
        .route("/admin", get(pages::admin))
        .route("/admin.js", get(pages::admin_script))
        .route("/style.css", get(site::style))
        .route("/favicon.ico", get(site::icon))
        .route("/health", get(public::health))
        .route("/stats", get(public::stats))
}

fn guarded(routes: Router<Api>, api: &Api, role: Role) -> Router<Api> {
    routes.route_layer(from_fn_with_state(
        api.clone(),
        move |state: State<Api>, request: Request, next: Next| admit(role, state, request, next),
    ))
}

/// Lets a request through if its sender may do what needs `role`.
async fn admit(role: Role, State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return ApiError::internal("a request without a peer").into_response();
    };
    match api
        .authority
        .operators
        .admit(role, &peer, request.headers(), api.open)
    {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            whole(next.run(request)).await
        }
        Err(error) => error.into_response(),
    }
}

/// Runs an operator's request to its end, also when the operator hangs up in the middle: what is in
/// the database must come into memory, too.
async fn whole(act: impl Future<Output = Response> + Send + 'static) -> Response {
    let done = tokio::spawn(act).await;
    done.unwrap_or_else(|error| ApiError::internal(error).into_response())
}

/// Who asks.
#[derive(Debug, Clone)]
enum Caller {
    /// This machine's administrator, or in a rehearsal any of its users: there is no limit.
    Local,
    /// A validator that showed its token.
    Validator(String),
    /// Somebody else, perhaps an older node.
    Stranger(ClientAddress),
}

/// Who asks. A token that was shown and is not one of a validator leaves its bearer a stranger
/// here; it is looked at again where an operator or a validator is needed.
fn caller(api: &Api, request: &Request) -> Result<Caller, ApiError> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| ApiError::internal("a request without a peer"))?;
    if let Peer::Unix { .. } = peer {
        return Ok(Caller::Local);
    }
    if api.open && peer.is_local() && is_direct(request.headers()) {
        return Ok(Caller::Local);
    }
    if let Some(Ok(validator)) = api.authority.operators.validator(request.headers()) {
        return Ok(Caller::Validator(validator.name));
    }
    let proxies = &api.authority.settings.trusted_proxies;
    Ok(Caller::Stranger(proxies.client(peer, request.headers())))
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::too_many("too many requests", wait)
}

/// Takes questions from the caller's allowance. On a disk that is nearly full strangers are turned
/// away: what they ask would fill it further.
fn charge_questions(api: &Api, caller: &Caller, cost: f64) -> Result<(), ApiError> {
    let (limits, now) = (&api.authority.limits, Instant::now());
    let taken = match caller {
        Caller::Local => Ok(()),
        Caller::Validator(name) => limits.validators.take(name.clone(), cost, now),
        Caller::Stranger(_) if api.authority.disk_is_low() => {
            return Err(ApiError::unavailable(
                "the disk is nearly full: only validators with a token are answered",
                Duration::from_secs(60),
            ));
        }
        Caller::Stranger(client) => limits.questions.take(*client, cost, now),
    };
    taken.map_err(too_many)
}

/// Around every request: its sender's allowance, the longest time, and headers on the answer. One
/// layer, since each costs every validation.
async fn around(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let admitted = caller(&api, &request).and_then(|caller| {
        if let Caller::Stranger(client) = &caller {
            let limits = &api.authority.limits;
            limits
                .requests
                .take(*client, 1.0, Instant::now())
                .map_err(too_many)?;
        }
        Ok(caller)
    });
    let mut response = match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            in_time(next.run(request)).await
        }
        Err(error) => error.into_response(),
    };
    harden(&mut response);
    response
}

async fn in_time(answer: impl Future<Output = Response>) -> Response {
    let late = |_| ApiError::unavailable("the answer took too long", Duration::from_secs(5));
    let answered = tokio::time::timeout(LONGEST, answer).await.map_err(late);
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What every answer tells a browser. Unless an answer says otherwise, it is kept nowhere.
fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    site::harden(headers);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
