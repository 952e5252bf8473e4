//! ConnectionLimit for connections: how many there may be at once, and how many of them one client may hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::{ClientAddress, TrustedProxies};
use crate::peer::Peer;

/// The room of one server.
pub(crate) struct ConnectionLimit {
    places: Arc<Semaphore>,
    per_client: usize,
    proxies: TrustedProxies,
    held: Held,
}

type Held = Arc<Mutex<HashMap<ClientAddress, usize>>>;

/// One connection's place, given back when dropped.
pub(crate) struct Place {
    client: Option<(ClientAddress, Held)>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    pub(crate) fn new(places: usize, per_client: usize, proxies: TrustedProxies) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            per_client,
            proxies,
            held: Held::default(),
        }
    }

    /// Waits until another connection may be accepted.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// The place of an accepted connection; none if its client holds too many. Proxies and local processes hold for many.
    pub(crate) fn take(&self, permit: OwnedSemaphorePermit, peer: &Peer) -> Option<Place> {
        let counted = peer
            .ip()
            .filter(|address| self.per_client > 0 && !self.proxies.trusts(*address))
            .map(ClientAddress::of);
        let Some(client) = counted else {
            return Some(Place {
                client: None,
                _permit: permit,
            });
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(client).or_default();
        if *count >= self.per_client {
            return None;
        }
        *count += 1;
        Some(Place {
            client: Some((client, Arc::clone(&self.held))),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((client, held)) = &self.client else {
            return;
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_holds_its_share_and_no_more_and_a_proxy_holds_for_many() {
        let proxies = serde_json::from_str(r#"["10.0.0.2"]"#).unwrap();
        let room = ConnectionLimit::new(100, 2, proxies);
        let mut places = Vec::new();
        for expected in [true, true, false] {
            let permit = room.wait().await.unwrap();
            let place = room.take(permit, &Peer::calling_from("192.0.2.1"));
            assert_eq!(place.is_some(), expected);
            places.extend(place);
        }
        let permit = room.wait().await.unwrap();
        assert!(
            room.take(permit, &Peer::calling_from("192.0.2.2"))
                .is_some()
        );
        for _ in 0..10 {
            let permit = room.wait().await.unwrap();
            places.extend(room.take(permit, &Peer::calling_from("10.0.0.2")));
        }
        assert_eq!(places.len(), 12);
        // What one gives back, it may take again; and nothing is remembered about who left.
        places.clear();
        assert!(room.held.lock().unwrap().is_empty());
        assert_eq!(room.places.available_permits(), 100);
    }
}
