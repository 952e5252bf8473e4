//! This validator's part in a network: links to the others, agreement over them, and the pool they
//! share.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use birthmark_consensus::message::Message;
use birthmark_consensus::{
    Agreement, AgreementError, Clock, Links, Membership, Moment, NetworkState, Pacing, Timing,
    ValidatorKeys,
};
use birthmark_daemon::{ConfigError, Shutdown, StaysStopped};
use birthmark_ledger::{BlockTime, KeyName, ValidatorSet, VoteSigner};
use birthmark_link::{Channel, Hub, Incoming, LinkKey, Peer};
use birthmark_protocol::Digest;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::clock;
use crate::journal;
use crate::production::Node;
use crate::pulse::Pulse;
use crate::settings::{NetworkSettings, Settings};

mod neighbours;
mod pool;

pub use neighbours::{Neighbours, in_words, votes};

use pool::SharedPool;

/// The name of the socket for other validators.
pub const LINKS_SOCKET: &str = "links";

/// How many messages wait for the engine. When it is busy, those who send wait.
const INBOX: usize = 512;
/// How many messages about the pool wait.
const POOL_INBOX: usize = 64;

/// Refuses settings that do not fit the present validators, with the reason.
pub fn check(settings: &Settings, validators: &ValidatorSet, own: &str) -> Result<(), ConfigError> {
    let others = unreachable(&[], validators, own).len();
    let Some(network) = &settings.network else {
        return match others {
            0 => Ok(()),
            _ => Err(ConfigError::field(
                "network",
                format!(
                    "there are {others} other validators; [network] must say how they are reached"
                ),
            )),
        };
    };
    if settings.guard().is_none() {
        return Err(ConfigError::field(
            "signed_heights",
            "must name a file on this machine: it keeps this validator from voting twice",
        ));
    }
    if network.peers.iter().any(|peer| peer.name.as_str() == own) {
        return Err(ConfigError::field(
            "network.peers",
            format!("{own} is this validator itself"),
        ));
    }
    Ok(())
}

/// The other validators that `peers` do not name: nothing that is said to them arrives.
pub fn unreachable(peers: &[KeyName], validators: &ValidatorSet, own: &str) -> Vec<KeyName> {
    let names = validators
        .validators()
        .iter()
        .map(|validator| &validator.name);
    names
        .filter(|name| name.as_str() != own && !peers.contains(name))
        .cloned()
        .collect()
}

/// That a validator is not in the settings.
pub fn has_no_peer(name: &KeyName) -> String {
    format!("{name} is a validator, and [[network.peers]] has no entry for it here")
}

/// What the size of a network is worth, where it is worth less than it looks.
pub fn size_advice(validators: usize) -> Option<String> {
    let tolerated = validators.saturating_sub(1) / 3;
    match validators {
        1 | 4 | 7 | 10 => None,
        2 | 3 => Some(format!(
            "a network of {validators} stops when one validator is away, so it stands still more often than one alone; take 1 or 4"
        )),
        _ if validators % 3 != 1 => {
            let smaller = tolerated * 3 + 1;
            Some(format!(
                "a network of {validators} bears no more failures than one of {smaller} ({tolerated}) and needs more votes; take {smaller} or {}",
                smaller + 3
            ))
        }
        _ => None,
    }
}

/// Messages of the engine go over the hub.
struct HubLinks(Hub);

impl Links for HubLinks {
    fn broadcast(&self, message: &Message) {
        self.0
            .broadcast(Channel::Agreement, &message.encode().into());
    }

    fn to_members(&self, members: &ValidatorSet, message: &Message) {
        let bytes: Arc<[u8]> = message.encode().into();
        for member in members.validators() {
            // There is no link to this validator itself.
            self.0
                .send(&member.name, Channel::Agreement, Arc::clone(&bytes));
        }
    }

    fn send(&self, to: &KeyName, message: &Message) {
        self.0.send(to, Channel::Agreement, message.encode().into());
    }
}

/// The system's clocks.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> BlockTime {
        clock::now_millis()
    }

    fn passed(&self) -> Moment {
        self.0.elapsed()
    }

    async fn wait_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.0 + moment).await;
    }
}

/// What runs for the network, ready to be started.
pub struct Network<V> {
    agreement: Agreement<Node, V, HubLinks, SystemClock>,
    hub: Hub,
    pool: SharedPool,
    key: LinkKey,
    listeners: Vec<TcpListener>,
    peers: Vec<Peer>,
    chain: Digest,
    /// Tells the engine that something new waits.
    wake: Arc<Notify>,
}

/// Who this validator is, and where its part is kept.
pub struct Place<V> {
    /// What it signs with.
    pub keys: ValidatorKeys<V>,
    /// What it shows on links.
    pub link_key: LinkKey,
    /// The folder of the consensus log.
    pub log_folder: PathBuf,
    /// When blocks are due.
    pub pacing: Pacing,
}

impl<V: VoteSigner + Send + Sync + 'static> Network<V> {
    /// Prepares everything; nothing is sent yet. `submitted` tells that something new waits here.
    pub async fn open(
        node: Node,
        place: Place<V>,
        settings: &NetworkSettings,
        listeners: Vec<TcpListener>,
        submitted: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let genesis = node.registry().genesis();
        let (chain, chain_id) = (genesis.hash(), genesis.chain_id.clone());
        let (peers, wake) = (settings.links(), Arc::new(Notify::new()));
        let hub = Hub::new(&peers);
        let own = place.keys.vote.public_key();
        let pool = SharedPool::new(
            node.clone(),
            hub.clone(),
            &own,
            submitted,
            Arc::clone(&wake),
        );
        let membership = Membership {
            chain_id,
            log_folder: place.log_folder,
            pacing: place.pacing,
            timing: Timing::default(),
        };
        let (links, clock) = (HubLinks(hub.clone()), SystemClock(Instant::now()));
        let agreement = Agreement::open(node, links, clock, place.keys, membership);
        let agreement = agreement.await.context("the network cannot be joined")?;
        Ok(Self {
            agreement,
            hub,
            pool,
            key: place.link_key,
            listeners,
            peers,
            chain,
            wake,
        })
    }

    /// What is known about the network, as it changes.
    pub fn state(&self) -> watch::Receiver<NetworkState> {
        self.agreement.state()
    }

    /// The links.
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// Takes part until asked to stop. Only an answer to `shutdown`, or a broken link layer, ends
    /// it.
    pub async fn run(self, pulse: Arc<Pulse>, shutdown: Shutdown) -> anyhow::Result<()> {
        let (to_agreement, from_links) = mpsc::channel(INBOX);
        let (to_engine, inbox) = mpsc::channel(INBOX);
        let (to_pool, from_pool) = mpsc::channel(POOL_INBOX);
        let linked = self
            .hub
            .run(self.key, self.peers, self.listeners, to_agreement, to_pool);
        let voting = async {
            let stop = shutdown.requested();
            // On the heap: the compiler follows only so many futures inside one another.
            let outcome = Box::pin(self.agreement.run(inbox, self.wake, stop)).await;
            stopped(outcome, &pulse, &shutdown).await
        };
        tokio::select! {
            outcome = voting => outcome,
            ended = linked => ended.context("the links to the other validators"),
            () = read(from_links, to_engine, self.chain) => Ok(()),
            () = self.pool.run(from_pool) => Ok(()),
        }
    }
}

/// A stop for safety leaves reading up, and ends the program only when it is asked to end: whoever
/// starts it again by itself would vote again.
async fn stopped(
    outcome: Result<(), AgreementError>,
    pulse: &Pulse,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Err(error) = outcome else {
        return Ok(());
    };
    log::error!(MESSAGE_ID = journal::SAFETY_STOP; "{error}. What is registered is still served; see `birthmark-node doctor`");
    pulse.set_blocks(Some("this validator takes no part in decisions any more"));
    shutdown.requested().await;
    Err(StaysStopped(error.to_string()).into())
}

/// Reads what links bring. What no member would send is dropped; a link is not a place to argue. So
/// is everything when the engine has stopped for safety: the others go on talking, and that must
/// not end the program, which still answers.
async fn read(
    mut from_links: mpsc::Receiver<Incoming>,
    to_engine: mpsc::Sender<(KeyName, Message)>,
    chain: Digest,
) {
    while let Some((from, bytes)) = from_links.recv().await {
        match Message::parse(&bytes, &chain) {
            Ok(message) if !to_engine.is_closed() => {
                if to_engine.send((from, message)).await.is_err() {
                    log::debug!(
                        "links are read and nobody listens: this validator has stopped voting"
                    );
                }
            }
            Ok(_) => {}
            Err(error) => log::warn!("{from} sent something that is no message: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_bear_no_more_failures_are_named_with_the_better_ones() {
        for good in [1, 4, 7, 10] {
            assert_eq!(size_advice(good), None);
        }
        for bad in [2, 3] {
            assert!(size_advice(bad).unwrap().contains("take 1 or 4"));
        }
        assert!(size_advice(5).unwrap().contains("take 4 or 7"));
        assert!(size_advice(6).unwrap().contains("take 4 or 7"));
        assert!(size_advice(8).unwrap().contains("take 7 or 10"));
    }
}
