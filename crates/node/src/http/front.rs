//! What stands in front of the router: every request is counted against its client, and the question most often asked,
//! whether an image is registered, is answered without looking for its route.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use birthmark_http::Answer;
use birthmark_protocol::Digest;

use super::{App, router, verify};

/// The node's HTTP interface.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    /// With every route of the node behind it.
    pub fn new(app: Arc<App>) -> Self {
        let router = router(Arc::clone(&app));
        Self { app, router }
    }
}

impl Answer for Front {
    async fn answer(&self, request: Request<Body>) -> Response {
        let mut response = match (self.app.admit(&request), asked(&request)) {
            (Err(refused), _) => public(refused.into_response()),
            (Ok(()), Some(digest)) => public(verify::answer(&self.app, digest).await),
            (Ok(()), None) => self.router.answer(request).await,
        };
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers
            .entry(header::REFERRER_POLICY)
            .or_insert(HeaderValue::from_static("no-referrer"));
        response
    }
}

/// The digest of a plain question. Whatever else it may be, the router knows.
fn asked(request: &Request<Body>) -> Option<Digest> {
    if request.method() != Method::GET {
        return None;
    }
    let digest = request.uri().path().strip_prefix("/api/v1/verify/")?;
    digest.parse().ok()
}

/// What the router says of its own answers: any page may read them.
fn public(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let everyone = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everyone.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, everyone);
    response
}
