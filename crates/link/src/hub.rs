//! All links of one validator.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use birthmark_ledger::KeyName;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::identity::LinkKey;
use crate::queue::{Channel, Incoming, Queue};
use crate::{MAX_FRAME, Peer, dial, listen};

/// Sends to every validator. Clones are the same.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    links: BTreeMap<KeyName, [Arc<Queue>; 2]>,
}

impl Hub {
    /// Links to these validators; they are made by [`Hub::run`].
    pub fn new(peers: &[Peer]) -> Self {
        let links = peers
            .iter()
            .map(|peer| (peer.name.clone(), [Queue::new(), Queue::new()]));
        Self(Arc::new(Inner {
            links: links.collect(),
        }))
    }

    /// Sends a message to one validator, sooner or later or not at all. False if there is no such
    /// validator or no such message can be sent.
    pub fn send(&self, to: &KeyName, channel: Channel, message: Arc<[u8]>) -> bool {
        if message.is_empty() || message.len() > MAX_FRAME {
            return false;
        }
        match self.queue(to, channel) {
            Some(queue) => {
                queue.push(message);
                true
            }
            None => false,
        }
    }

    /// Sends a message to every validator.
    pub fn broadcast(&self, channel: Channel, message: &Arc<[u8]>) {
        for name in self.0.links.keys() {
            self.send(name, channel, Arc::clone(message));
        }
    }

    /// The validators there are links to.
    pub fn names(&self) -> impl Iterator<Item = &KeyName> {
        self.0.links.keys()
    }

    /// Whether messages reach this validator.
    pub fn is_connected(&self, name: &KeyName) -> bool {
        let queue = self.queue(name, Channel::Agreement);
        queue.is_some_and(|queue| queue.is_connected())
    }

    /// How many messages to this validator were given up.
    pub fn lost(&self, name: &KeyName) -> u64 {
        let queues = self.0.links.get(name).into_iter().flatten();
        queues.map(|queue| queue.lost()).sum()
    }

    fn queue(&self, name: &KeyName, channel: Channel) -> Option<&Arc<Queue>> {
        let [agreement, pool] = self.0.links.get(name)?;
        Some(match channel {
            Channel::Agreement => agreement,
            Channel::Pool => pool,
        })
    }

    /// Keeps all links until it is dropped. What comes in on a channel goes to its receiver; one
    /// that is not emptied makes its senders wait, and nobody else.
    pub async fn run(
        &self,
        key: LinkKey,
        peers: Vec<Peer>,
        listeners: Vec<TcpListener>,
        agreement: mpsc::Sender<Incoming>,
        pool: mpsc::Sender<Incoming>,
    ) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let acceptor = listen::Acceptor::new(&key, &peers, agreement, pool)?;
        for listener in listeners {
            tasks.spawn(Arc::clone(&acceptor).accept(listener));
        }
        for peer in &peers {
            for channel in Channel::ALL {
                let Some(queue) = self.queue(&peer.name, channel) else {
                    continue;
                };
                let dialer = dial::Dialer::new(&key, peer.clone(), channel, Arc::clone(queue))?;
                tasks.spawn(dialer.run());
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        Ok(())
    }
}
