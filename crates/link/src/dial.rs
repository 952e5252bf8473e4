//! The sending end of a link.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::LinkKey;
use crate::queue::{Channel, Queue};
use crate::{ALIVE, HANDSHAKE, KNOWN, Peer, WRITE, tls};

/// The pause before the first new attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Dialer {
    peer: Peer,
    channel: Channel,
    queue: Arc<Queue>,
    connector: TlsConnector,
}

impl Dialer {
    pub fn new(key: &LinkKey, peer: Peer, channel: Channel, queue: Arc<Queue>) -> io::Result<Self> {
        let connector = TlsConnector::from(tls::client(key, &peer)?);
        Ok(Self {
            peer,
            channel,
            queue,
            connector,
        })
    }

    pub async fn run(self) {
        let (mut pause, mut is_told) = (FIRST_PAUSE, false);
        loop {
            let began = Instant::now();
            let error = match self.connect().await {
                Ok(stream) => {
                    if self.channel == Channel::Agreement {
                        log::info!("linked to {}", self.peer.name);
                    }
                    is_told = false;
                    self.queue.set_connected(true);
                    let ended = self.send(stream).await;
                    self.queue.set_connected(false);
                    ended
                }
                Err(error) => error,
            };
            if !is_told && self.channel == Channel::Agreement {
                log::warn!("no link to {}: {error}", self.peer.name);
            }
            is_told = true;
            pause = match began.elapsed() > LONGEST_PAUSE {
                true => FIRST_PAUSE,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            sleep(pause).await;
        }
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let connecting = async {
            let stream = TcpStream::connect(&self.peer.address).await?;
            stream.set_nodelay(true)?;
            let mut stream = self.connector.connect(tls::any_name(), stream).await?;
            stream.write_u8(self.channel.to_byte()).await?;
            stream.flush().await?;
            match stream.read_u8().await? {
                KNOWN => Ok(stream),
                _ => Err(io::Error::other("it does not speak as a validator")),
            }
        };
        match timeout(HANDSHAKE, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
        }
    }

    /// Sends what waits until the connection ends. A message that was on its way is lost then.
    async fn send(&self, mut stream: TlsStream<TcpStream>) -> io::Error {
        loop {
            // Nothing to say for a while is said too: an empty message keeps the connection open.
            let message = timeout(ALIVE, self.queue.pop()).await.ok();
            let written = async {
                let bytes = message.as_deref().unwrap_or_default();
                let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                stream.write_u32(length).await?;
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            match timeout(WRITE, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::Error::new(io::ErrorKind::TimedOut, "it takes nothing"),
            }
        }
    }
}
