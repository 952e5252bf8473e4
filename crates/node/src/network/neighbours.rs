//! What this validator knows about the others, for people.

use std::sync::Arc;

use birthmark_consensus::NetworkState;
use birthmark_ledger::{BlockTime, Height};
use birthmark_link::Hub;
use tokio::sync::watch;

use crate::contradictions::Contradictions;

/// After this long without a word a member is away, in milliseconds.
const AWAY: i64 = 30_000;
/// A member this many blocks behind is named.
const BEHIND: u64 = 5;

/// The other members, as far as they were heard of.
pub struct Neighbours {
    state: watch::Receiver<NetworkState>,
    hub: Hub,
    contradictions: Arc<Contradictions>,
}

impl Neighbours {
    /// The others of a network.
    pub const fn new(
        state: watch::Receiver<NetworkState>,
        hub: Hub,
        contradictions: Arc<Contradictions>,
    ) -> Self {
        Self {
            state,
            hub,
            contradictions,
        }
    }

    /// How many others can be reached.
    pub fn linked(&self) -> usize {
        let linked = self.hub.names().filter(|name| self.hub.is_connected(name));
        linked.count()
    }

    /// How many others there should be links to.
    pub fn expected(&self) -> usize {
        self.hub.names().count()
    }

    /// The attempt at the height that runs; `None` while nothing waits.
    pub fn round(&self) -> Option<u32> {
        self.state.borrow().round
    }

    /// What proofs of contradictions there are, in words.
    pub fn contradictions(&self) -> Vec<String> {
        self.contradictions.list()
    }

    /// What should be looked at, in words.
    pub fn warnings(&self, own: Height, now: BlockTime) -> Vec<String> {
        let state = self.state.borrow().clone();
        let mut warnings = self.contradictions.list();
        if let Some(until) = state.abstains_until {
            warnings.push(format!(
                "this validator does not vote up to height {until}: it may have voted there before"
            ));
        }
        for name in self.hub.names() {
            let heard = state.members.get(name);
            let Some(member) = heard.filter(|member| now.millis_since(member.heard) <= AWAY) else {
                warnings.push(format!("{name} was not heard of lately"));
                continue;
            };
            if !self.hub.is_connected(name) {
                warnings.push(format!("{name} cannot be reached from here"));
            }
            let behind = own.get().saturating_sub(member.decided.get());
            if behind > BEHIND {
                warnings.push(format!("{name} is {behind} blocks behind"));
            }
        }
        warnings
    }
}
