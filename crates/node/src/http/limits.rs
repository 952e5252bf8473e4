//! What one client may ask, so that nobody can keep the others waiting.

use axum::http::{Method, Request};
use birthmark_http::site::RateLimit;
use birthmark_http::{ApiError, Peer};

use super::App;

impl App {
    /// Counts a request against its client, or says when to come back.
    pub(super) fn admit<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), ApiError> {
        let proxies = &self.settings.http.trusted_proxies;
        let client = proxies.client(peer, request.headers());
        let path = request.uri().path();
        let is_submission = request.method() == Method::POST && (path.contains("/submit"));
        let taken = self.rate_limit(is_submission).take(client, 1);
        taken.map_err(|wait| {
            self.metrics.limited.inc();
            ApiError::too_many("too many requests from your address; come back later", wait)
        })
    }

    fn rate_limit(&self, is_submission: bool) -> &RateLimit {
        if is_submission {
            &self.submissions
        } else {
            &self.requests
        }
    }
}
