//! What one client may ask, so that nobody can keep the others waiting.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{Method, Request};
use birthmark_http::{ApiError, ClientAddress, Peer};

use super::App;

/// How many clients are counted at once. Beyond that the counting starts anew, in favour of the clients.
const MOST_CLIENTS: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A bucket per client: it holds a minute's worth and fills evenly.
pub struct Buckets {
    per_minute: u32,
    clients: Mutex<HashMap<ClientAddress, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Buckets {
    /// Buckets of this size; 0 is no limit.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            clients: Mutex::default(),
        }
    }

    /// Takes one from the client's bucket, or says when to come back.
    pub fn take(&self, client: ClientAddress, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let full = f64::from(self.per_minute);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, bucket| now.saturating_duration_since(bucket.at) < MINUTE);
        }
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        let bucket = clients.entry(client).or_insert(Bucket {
            left: full,
            at: now,
        });
        let filled =
            now.saturating_duration_since(bucket.at).as_secs_f64() / MINUTE.as_secs_f64() * full;
        *bucket = Bucket {
            left: (bucket.left + filled).min(full),
            at: now,
        };
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(
            (1.0 - bucket.left) / full * MINUTE.as_secs_f64(),
        ))
    }
}

impl App {
    /// Counts a request against its client, or says when to come back.
    pub(super) fn admit<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), ApiError> {
        let proxies = &self.settings.http.trusted_proxies;
        let client = proxies.client(peer, request.headers());
        let path = request.uri().path();
        let is_submission = request.method() == Method::POST && (path.contains("/submit"));
        let taken = self.buckets(is_submission).take(client, Instant::now());
        taken.map_err(|wait| {
            self.metrics.limited.inc();
            ApiError::too_many("too many requests from your address; come back later", wait)
        })
    }

    fn buckets(&self, is_submission: bool) -> &Buckets {
        if is_submission {
            &self.submissions
        } else {
            &self.requests
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_and_belongs_to_one_client() {
        let buckets = Buckets::new(60);
        let (one, other) = (
            ClientAddress::of([192, 0, 2, 1].into()),
            ClientAddress::of([192, 0, 2, 2].into()),
        );
        let start = Instant::now();
        assert!((0..60).all(|_| buckets.take(one, start).is_ok()));
        let wait = buckets.take(one, start).unwrap_err();
        assert!(wait <= Duration::from_secs(1));
        assert!(buckets.take(other, start).is_ok());
        assert!(buckets.take(one, start + Duration::from_secs(1)).is_ok());
        assert!(Buckets::new(0).take(one, start).is_ok());
    }
}
