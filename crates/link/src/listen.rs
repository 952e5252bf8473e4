//! The receiving end of links.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use birthmark_daemon::seats::Seats;
use birthmark_ledger::KeyName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::identity::{Identity, LinkKey};
use crate::queue::{Channel, Incoming};
use crate::seats::{customer, handshakes};
use crate::{HANDSHAKE, KNOWN, MAX_FRAME, Peer, SILENCE, tls};

/// How much room a message gets before its bytes are here.
const FIRST_ROOM: usize = 64 << 10;

pub(crate) struct Acceptor {
    tls: TlsAcceptor,
    names: BTreeMap<Identity, KeyName>,
    handshakes: Seats<Ipv6Addr>,
    agreement: mpsc::Sender<Incoming>,
    pool: mpsc::Sender<Incoming>,
    /// A validator's newest connection on a channel; the one before ends.
    newest: Mutex<BTreeMap<(KeyName, Channel), watch::Sender<()>>>,
}

impl Acceptor {
    pub fn new(
        key: &LinkKey,
        peers: &[Peer],
        agreement: mpsc::Sender<Incoming>,
        pool: mpsc::Sender<Incoming>,
    ) -> io::Result<Arc<Self>> {
        let names = peers.iter().map(|peer| (peer.identity, peer.name.clone()));
        Ok(Arc::new(Self {
            tls: TlsAcceptor::from(tls::server(key, peers)?),
            names: names.collect(),
            handshakes: handshakes(),
            agreement,
            pool,
            newest: Mutex::default(),
        }))
    }

    /// Takes links until it is dropped, and all of them end with it.
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut links = JoinSet::new();
        loop {
            let Some(permit) = self.handshakes.wait().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = links.join_next() => continue,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    log::warn!("no link can be accepted at the moment: {error}");
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let Some(seat) = self.handshakes.take(permit, customer(address.ip())) else {
                refused(address, &"too many from there are in a handshake");
                continue;
            };
            let this = Arc::clone(&self);
            links.spawn(async move {
                let shaken = timeout(HANDSHAKE, this.shake(stream)).await;
                drop(seat);
                match shaken {
                    Ok(Ok((name, channel, stream))) => this.read(name, channel, stream).await,
                    Ok(Err(error)) => refused(address, &error),
                    Err(_) => refused(address, &"it took too long"),
                }
            });
        }
    }

    async fn shake(
        &self,
        stream: TcpStream,
    ) -> io::Result<(KeyName, Channel, TlsStream<TcpStream>)> {
        let mut stream = self.tls.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let identity = shown
            .and_then(<[_]>::first)
            .and_then(|shown| Identity::from_spki(shown));
        let name = identity.and_then(|identity| self.names.get(&identity));
        let name = name
            .cloned()
            .ok_or_else(|| io::Error::other("a stranger's key"))?;
        let channel = Channel::from_byte(stream.read_u8().await?);
        let channel = channel.ok_or_else(|| io::Error::other("an unknown channel"))?;
        stream.write_u8(KNOWN).await?;
        stream.flush().await?;
        Ok((name, channel, stream))
    }

    async fn read(&self, name: KeyName, channel: Channel, mut stream: TlsStream<TcpStream>) {
        let (newest, mut replaced) = watch::channel(());
        self.newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((name.clone(), channel), newest);
        let receiver = match channel {
            Channel::Agreement => &self.agreement,
            Channel::Pool => &self.pool,
        };
        let reading = async {
            loop {
                let message = timeout(SILENCE, read_message(&mut stream)).await;
                let message = message.map_err(io::Error::other)??;
                if !message.is_empty() && receiver.send((name.clone(), message)).await.is_err() {
                    return Ok(());
                }
            }
        };
        let ended: io::Result<()> = tokio::select! {
            ended = reading => ended,
            // Its sender is dropped when a newer connection takes its place.
            _ = replaced.changed() => Ok(()),
        };
        if let Err(error) = ended {
            log::debug!("the link from {name} ended: {error}");
        }
    }
}

fn refused(address: SocketAddr, error: &dyn std::fmt::Display) {
    // Anybody can cause these.
    log::debug!("a link from {address} was refused: {error}");
}

async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut message = Vec::with_capacity(length.min(FIRST_ROOM));
    stream.take(length as u64).read_to_end(&mut message).await?;
    match message.len() == length {
        true => Ok(message),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests;
