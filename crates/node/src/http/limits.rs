//! What one client may ask, so that nobody can keep the others waiting.

use std::time::Duration;

use axum::http::{Method, Request};
use birthmark_http::site::RateLimit;
use birthmark_http::{ApiError, ClientAddress, Peer};

use super::App;

impl App {
    /// Who asks, as far as limits are concerned. A request that came through no connection of ours
    /// is everybody's.
    pub(super) fn client_of<B>(&self, request: &Request<B>) -> Option<ClientAddress> {
        let peer = request.extensions().get::<Peer>()?;
        let proxies = &self.settings.http.trusted_proxies;
        Some(proxies.client(peer, request.headers()))
    }

    /// Counts a request against its client, or says when to come back.
    pub(super) fn admit<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), ApiError> {
        let proxies = &self.settings.http.trusted_proxies;
        let client = proxies.client(peer, request.headers());
        let path = request.uri().path();
        let is_submission = request.method() == Method::POST && (path.contains("/submit"));
        let taken = self.rate_limit(is_submission).take(client, 1);
        taken.map_err(|wait| self.limited(wait))
    }

    /// Counts what a request costs beyond itself.
    pub(super) fn charge(
        &self,
        client: Option<ClientAddress>,
        cost: usize,
    ) -> Result<(), ApiError> {
        let (Some(client), Ok(cost)) = (client, u32::try_from(cost)) else {
            return Ok(());
        };
        let taken = self.requests.take(client, cost);
        taken.map_err(|wait| self.limited(wait))
    }

    fn limited(&self, wait: Duration) -> ApiError {
        self.metrics.limited.inc();
        ApiError::too_many("too many requests from your address; come back later", wait)
    }

    fn rate_limit(&self, is_submission: bool) -> &RateLimit {
        if is_submission {
            &self.submissions
        } else {
            &self.requests
        }
    }
}
