//! What stands in front of the router: every request is counted against its client, and the
//! question most often asked, whether an image is registered, is answered without looking for its
//! route.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Request};
use axum::response::{IntoResponse as _, Response};
use birthmark_http::{Answer, Answered, Incoming, Peer};
use birthmark_protocol::Digest;

use super::headers::{guarded, public};
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
    fn answer(&self, peer: Peer, request: Request<Incoming>) -> Answered {
        if let Err(refused) = self.app.admit(&peer, &request) {
            return Answered::now(guarded(public(refused.into_response())));
        }
        let Some(digest) = asked(&request) else {
            let answered = self.router.answer(peer, request);
            return Answered::later(async { guarded(routed(answered.await)) });
        };
        if let Some(response) = verify::answer_at_once(&self.app, &digest) {
            return Answered::now(response);
        }
        let app = Arc::clone(&self.app);
        Answered::later(async move { guarded(public(verify::answer(&app, digest, None).await)) })
    }
}

fn routed(answered: Result<Response, Infallible>) -> Response {
    answered.unwrap_or_else(|never| match never {})
}

/// The digest of a plain question. Whatever else it may be, the router knows.
fn asked<B>(request: &Request<B>) -> Option<Digest> {
    if request.method() != Method::GET || request.uri().query().is_some() {
        return None;
    }
    let digest = request.uri().path().strip_prefix("/api/v1/verify/")?;
    digest.parse().ok()
}
