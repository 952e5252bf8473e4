//! How many connections there may be at once, and how many of them one client may hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::byte_budget::{Account, ByteBudget};
use crate::client::{ClientAddress, Holder, TrustedProxies};
use crate::peer::Peer;

/// The connections of one server.
pub(crate) struct ConnectionLimit {
    places: Arc<Semaphore>,
    per_client: usize,
    proxies: TrustedProxies,
    budget: ByteBudget,
    of_many: Arc<Account>,
    held: Held,
}

type Held = Arc<Mutex<HashMap<Holder, Client>>>;

/// What one client, or one network of them, holds.
struct Client {
    connections: usize,
    account: Arc<Account>,
}

/// One connection's place, given back when dropped.
pub(crate) struct Place {
    client: Option<(ClientAddress, Held)>,
    account: Arc<Account>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    pub(crate) fn new(
        places: usize,
        per_client: usize,
        proxies: TrustedProxies,
        budget: ByteBudget,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            per_client,
            proxies,
            of_many: Arc::new(budget.account_of_many()),
            budget,
            held: Held::default(),
        }
    }

    /// Waits until another connection may be accepted.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// The place of an accepted connection; none if its client holds too many. Proxies and local
    /// processes hold for many.
    pub(crate) fn take(&self, permit: OwnedSemaphorePermit, peer: &Peer) -> Option<Place> {
        let counted = peer
            .ip()
            .filter(|address| self.per_client > 0 && !self.proxies.trusts(*address))
            .map(ClientAddress::of);
        let Some(client) = counted else {
            return Some(Place {
                client: None,
                account: Arc::clone(&self.of_many),
                _permit: permit,
            });
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |(holder, shares): (Holder, usize)| {
            let connections = held.get(&holder).map_or(0, |client| client.connections);
            connections < self.per_client.saturating_mul(shares)
        };
        if !client.holders().all(has_room) {
            return None;
        }
        let mut account = Arc::clone(&self.of_many);
        for (holder, _) in client.holders() {
            let client = held.entry(holder).or_insert_with(|| Client {
                connections: 0,
                account: Arc::new(self.budget.account()),
            });
            client.connections += 1;
            // That of the whole network, which is the last: who holds a /48 has one budget of
            // bytes.
            account = Arc::clone(&client.account);
        }
        Some(Place {
            client: Some((client, Arc::clone(&self.held))),
            account,
            _permit: permit,
        })
    }
}

impl Place {
    /// What the client may hold in memory.
    pub(crate) const fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((client, held)) = &self.client else {
            return;
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        for (holder, _) in client.holders() {
            match held.get_mut(&holder) {
                Some(client) if client.connections > 1 => client.connections -= 1,
                _ => drop(held.remove(&holder)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_client: usize) -> ConnectionLimit {
        let proxies = serde_json::from_str(r#"["10.0.0.2"]"#).unwrap();
        ConnectionLimit::new(100, per_client, proxies, ByteBudget::default())
    }

    async fn place(limit: &ConnectionLimit, address: &str) -> Option<Place> {
        let permit = limit.wait().await.unwrap();
        limit.take(permit, &Peer::calling_from(address))
    }

    #[tokio::test]
    async fn one_client_holds_its_share_and_no_more_and_a_proxy_holds_for_many() {
        let limit = limit(2);
        let mut places = Vec::new();
        for expected in [true, true, false] {
            let place = place(&limit, "192.0.2.1").await;
            assert_eq!(place.is_some(), expected);
            places.extend(place);
        }
        assert!(place(&limit, "192.0.2.2").await.is_some());
        for _ in 0..10 {
            places.extend(place(&limit, "10.0.0.2").await);
        }
        assert_eq!(places.len(), 12);
        // What one gives back, it may take again; and nothing is remembered about who left.
        places.clear();
        assert!(limit.held.lock().unwrap().is_empty());
        assert_eq!(limit.places.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_48_holds_four_times_as_many_as_one_client() {
        let limit = limit(2);
        let mut places = Vec::new();
        for subnet in 0..20 {
            for _ in 0..3 {
                places.extend(place(&limit, &format!("[2001:db8:7:{subnet}::1]")).await);
            }
        }
        assert_eq!(places.len(), 8);
        let accounts = places.iter().map(|place| Arc::as_ptr(place.account()));
        let accounts: std::collections::BTreeSet<_> = accounts.collect();
        assert_eq!(accounts.len(), 1, "and one budget of bytes");
        assert!(place(&limit, "[2001:db8:8::1]").await.is_some());
        drop(places);
        assert!(limit.held.lock().unwrap().is_empty());
    }
}
