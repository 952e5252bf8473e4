//! The authority over HTTP.

mod attest;
pub mod control;
mod devices;
mod metrics;
mod overview;
mod pages;
mod public;
mod revocations;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use birthmark_http::{ApiError, ClientAddress, Peer, site};
use tower_http::cors::CorsLayer;

use crate::authority::Authority;
use crate::tell::operators::Role;

/// What a request costs its client, in tenths, as the questions of a batch are counted.
const REQUEST: u32 = 10;
/// No answer takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What every handler is given.
#[derive(Debug, Clone)]
pub struct Api {
    /// The authority.
    pub authority: Arc<Authority>,
    /// Whether this machine's users need no token: only if the authority listens on loopback alone.
    pub open: bool,
}

/// Everything the authority serves.
pub fn router(api: Api) -> Router {
    let read = Router::new()
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/devices/{serial}", get(devices::one))
        .route(
            "/api/v1/devices/{serial}/reviewed",
            post(overview::reviewed),
        )
        .route("/api/v1/revocations", get(revocations::list))
        .route("/api/v1/overview", get(overview::overview))
        .route("/metrics", get(metrics::metrics));
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
        .merge(guarded(provision, &api, Role::Provision))
        .merge(guarded(revoke, &api, Role::Revoke))
        .merge(guarded(control_routes(), &api, Role::Administer))
        .fallback(async || ApiError::not_found("no such page"))
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
        .route("/api/v1/verdict-keys", get(public::verdict_keys))
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

/// Runs an operator's request to its end, also when the operator hangs up in the middle: what is in the database must come
/// into memory, too.
async fn whole(act: impl Future<Output = Response> + Send + 'static) -> Response {
    let done = tokio::spawn(act).await;
    done.unwrap_or_else(|error| ApiError::internal(error).into_response())
}

/// Who asks, if they are on the network.
fn client_of(api: &Api, request: &Request) -> Option<ClientAddress> {
    let peer = request.extensions().get::<Peer>()?;
    let proxies = &api.authority.settings.trusted_proxies;
    matches!(peer, Peer::Tcp { .. }).then(|| proxies.client(peer, request.headers()))
}

/// Takes `cost` tenths of a request from a client's allowance. This machine's administrator has no limit.
fn charge(api: &Api, client: Option<ClientAddress>, cost: u32) -> Result<(), ApiError> {
    let Some(client) = client else { return Ok(()) };
    let taken = api.authority.limits.take(client, cost);
    taken.map_err(|wait| ApiError::too_many("too many requests", wait))
}

/// Around every request: its sender's allowance, the longest time, and headers on the answer. One layer, since each costs
/// every validation.
async fn around(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = match charge(&api, client_of(&api, &request), REQUEST) {
        Ok(()) => in_time(next.run(request)).await,
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
