//! Asking the GPS daemon where the camera is. A place is used only while it is fresh; without one the photo has none.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use birthmark_daemon::varlink::{self, CallError, Peers};
use birthmark_protocol::Timestamp;
use birthmark_protocol::gps::{GpsError, Position};
use serde::Deserialize;

/// The answer is in the daemon's memory; waiting longer would only delay the photo.
const DEADLINE: Duration = Duration::from_millis(500);
/// Who was somewhere five seconds ago may be elsewhere now.
const OLDEST_MS: i64 = 5_000;

/// Why the place is not known. Not being anywhere yet is no error.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The call did not get through.
    #[error("the GPS daemon cannot be asked: {0}")]
    Call(#[from] CallError),
    /// The answer is no place.
    #[error("the GPS daemon answers nonsense: {0}")]
    Nonsense(#[from] GpsError),
}

/// Somebody who knows where we are.
pub trait Locator: Send + Sync {
    /// The place, if there is a fresh one.
    fn position(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Position>, PlaceError>> + Send + '_>>;
}

/// Nobody knows.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Locator for Nowhere {
    fn position(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Position>, PlaceError>> + Send + '_>> {
        Box::pin(async { Ok(None) })
    }
}

/// The GPS daemon behind a Varlink socket.
#[derive(Debug)]
pub struct RemoteLocator {
    path: PathBuf,
    servers: Peers,
}

/// The answer to `GetFix`.
#[derive(Debug, Deserialize)]
struct Answer {
    fix: Option<Fix>,
}

/// A place as the GPS daemon tells it.
#[derive(Debug, Deserialize)]
struct Fix {
    /// Hundred-thousandths of a degree, south negative.
    latitude: i32,
    /// Hundred-thousandths of a degree, west negative.
    longitude: i32,
    /// Whole metres.
    altitude: Option<i32>,
    /// Unix seconds of the fix.
    time: i64,
    /// Milliseconds since the fix.
    age_ms: i64,
}

/// The GPS daemon has no errors of its own that matter here: no fix is an answer.
#[derive(Debug, zlink::ReplyError)]
#[zlink(interface = "org.birthmark.Gps")]
enum Refusal {}

#[zlink::proxy("org.birthmark.Gps")]
trait GpsCalls {
    async fn get_fix(&mut self) -> zlink::Result<Result<Answer, Refusal>>;
}

impl RemoteLocator {
    /// The GPS daemon that one of `servers` serves at `path`.
    pub fn new(path: PathBuf, servers: Peers) -> Self {
        Self { path, servers }
    }

    async fn ask(&self) -> Result<Option<Position>, PlaceError> {
        let mut gps = varlink::connect(&self.path, &self.servers, DEADLINE).await?;
        let Ok(answer) = varlink::within(DEADLINE, gps.get_fix()).await?;
        let fresh = answer
            .fix
            .filter(|fix| (0..=OLDEST_MS).contains(&fix.age_ms));
        let position = |fix: Fix| {
            Position::new(
                fix.latitude,
                fix.longitude,
                fix.altitude,
                Timestamp::from_unix(fix.time),
            )
        };
        Ok(fresh.map(position).transpose()?)
    }
}

impl Locator for RemoteLocator {
    fn position(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Position>, PlaceError>> + Send + '_>> {
        Box::pin(self.ask())
    }
}
