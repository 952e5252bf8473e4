//! Calling the GPS daemon.

use std::path::Path;
use std::time::Duration;

use birthmark_daemon::varlink::{Bounded, CallError, Peers, connect, within};
use futures_util::{Stream, StreamExt};
use zlink::Connection;

use crate::messages::FixReply;

/// The answer is in the daemon's memory.
const DEADLINE: Duration = Duration::from_secs(5);

/// The daemon has no errors of its own: no fix is an answer.
#[derive(Debug, zlink::ReplyError)]
#[zlink(interface = "org.birthmark.Gps")]
pub enum Refusal {}

/// The calls as they travel.
#[zlink::proxy("org.birthmark.Gps")]
pub trait GpsCalls {
    /// Asks where the camera is.
    async fn get_fix(&mut self) -> zlink::Result<Result<FixReply, Refusal>>;
    /// Asks to be told whenever that changes.
    #[zlink(more)]
    async fn subscribe(
        &mut self,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<FixReply, Refusal>>>>;
}

/// A connection to the GPS daemon.
#[derive(Debug)]
pub struct GpsClient {
    connection: Connection<Bounded>,
}

impl GpsClient {
    /// Connects to the daemon's socket. Any user may serve it: the caller trusts the path.
    pub async fn connect(path: &Path) -> Result<Self, CallError> {
        Ok(Self {
            connection: connect(path, &Peers::anyone(), DEADLINE).await?,
        })
    }

    /// Where the camera is now, or why that is not known.
    pub async fn get_fix(&mut self) -> Result<FixReply, CallError> {
        let Ok(reply) = within(DEADLINE, self.connection.get_fix()).await?;
        Ok(reply)
    }

    /// The same now and whenever it changes, until the daemon ends.
    pub async fn subscribe(
        &mut self,
    ) -> Result<impl Stream<Item = Result<FixReply, CallError>>, CallError> {
        let replies = self.connection.subscribe().await?;
        Ok(replies.map(|reply| {
            let Ok(reply) = reply?;
            Ok(reply)
        }))
    }
}
