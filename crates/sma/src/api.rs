//! The authority over HTTP.

mod devices;
mod public;
mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use birthmark_http::{ApiError, Peer};

use crate::authority::Authority;
use crate::operators::Role;

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
        .route("/api/v1/devices/{serial}", get(devices::one));
    let provision = Router::new().route("/api/v1/devices/provision", post(devices::provision));
    Router::new()
        .merge(public_routes())
        .merge(guarded(read, &api, Role::Read))
        .merge(guarded(provision, &api, Role::Provision))
        .fallback(async || ApiError::not_found("no such page"))
        .layer(from_fn_with_state(api.clone(), limit))
        .layer(from_fn(hardened))
        .with_state(api)
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
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Takes a request from its sender's allowance, and gives up on answers that take too long.
async fn limit(State(api): State<Api>, request: Request, next: Next) -> Response {
    if let Some(peer @ Peer::Tcp { .. }) = request.extensions().get::<Peer>() {
        let client = api
            .authority
            .settings
            .trusted_proxies
            .client(peer, request.headers());
        if let Err(wait) = api.authority.limits.take(client, 1.0, Instant::now()) {
            return ApiError::too_many("too many requests", wait).into_response();
        }
    }
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::unavailable("the answer took too long", Duration::from_secs(5))
            .into_response(),
    }
}

/// Headers that keep browsers from guessing, framing and remembering.
async fn hardened(request: Request, next: Next) -> Response {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
