//! The other validators and how they are reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use birthmark_daemon::ConfigError;
use birthmark_ledger::KeyName;
use birthmark_link::{Identity, Peer};
use serde::{Deserialize, Serialize};

/// A network of several validators.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Where the other validators reach this one: address and port, unless systemd passes a socket
    /// named `links`.
    pub listen: SocketAddr,
    /// The folder of the consensus log. Beside `signed_heights` if left out. Never in a backup,
    /// never on a volume that is rolled back.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// Whether this node has no vote key and only follows: it fetches what the others decide, and
    /// answers.
    #[serde(default)]
    pub follow: bool,
    /// Every other validator, and every node that follows.
    pub peers: Vec<PeerSettings>,
}

/// Another validator, or a follower. Which of the two the registry says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Its name among the validators; of a follower any other name.
    pub name: KeyName,
    /// Host and port of its `network.listen`.
    pub address: String,
    /// What `birthmark-node identity` prints there.
    pub identity: Identity,
}

impl NetworkSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (position, peer) in self.peers.iter().enumerate() {
            let others = self.peers.iter().take(position);
            let is_known =
                |other: &PeerSettings| other.name == peer.name || other.identity == peer.identity;
            if others.into_iter().any(is_known) {
                let reason = format!("{} has a name or an identity twice", peer.name);
                return Err(ConfigError::field("network.peers", reason));
            }
            if !peer.address.contains(':') {
                let reason = format!("the address of {} has no port", peer.name);
                return Err(ConfigError::field("network.peers", reason));
            }
        }
        Ok(())
    }

    /// The links to make.
    pub fn links(&self) -> Vec<Peer> {
        let peer = |peer: &PeerSettings| Peer {
            name: peer.name.clone(),
            address: peer.address.clone(),
            identity: peer.identity,
        };
        self.peers.iter().map(peer).collect()
    }
}
