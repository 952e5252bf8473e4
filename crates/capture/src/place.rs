//! Asking the GPS daemon where the camera is. A place is used only while it is fresh; without one
//! the photo has none.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use birthmark_daemon::varlink::{self, CallError, Peers};
use birthmark_daemon::{Backoff, Shutdown, random};
use birthmark_protocol::Timestamp;
use birthmark_protocol::gps::{GpsError, Position};
use birthmark_sensor::{ClockQuality, Moment};
use serde::Deserialize;

/// The answer is in the daemon's memory; waiting longer would only delay the photo.
const DEADLINE: Duration = Duration::from_millis(500);
/// A fix older than this says where the camera was, not where it is.
const OLDEST_MS: i64 = 5_000;

/// How often a connection that is only held is tried.
const HELD: Duration = Duration::from_secs(30);
/// How long to wait before connecting to the GPS daemon again, at first and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

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

/// Where we are, and what time it is there, as far as the sky says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// The place, if there is a fresh one.
    pub position: Option<Position>,
    /// The time by satellites, in nanoseconds since 1970.
    pub unix_ns: Option<i64>,
}

impl Whereabouts {
    /// The better of two clocks: a camera whose own was never set takes the satellites' word.
    pub fn date(&self, moment: Moment) -> Moment {
        match self.unix_ns {
            Some(unix_ns) if moment.clock == ClockQuality::Unset => Moment {
                unix_ns,
                clock: ClockQuality::Satellites,
            },
            _ => moment,
        }
    }
}

/// What a locator answers, later.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Whereabouts, PlaceError>> + Send + 'a>>;

/// A source of the camera's position.
pub trait Locator: Send + Sync {
    /// Where we are now.
    fn whereabouts(&self) -> Answer<'_>;
}

/// Nobody knows.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Locator for Nowhere {
    fn whereabouts(&self) -> Answer<'_> {
        Box::pin(async { Ok(Whereabouts::default()) })
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
struct Told {
    fix: Option<Fix>,
    time: Option<Time>,
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

/// The time as the GPS daemon tells it.
#[derive(Debug, Deserialize)]
struct Time {
    unix_seconds: i64,
    age_ms: i64,
    quality: String,
}

impl Time {
    /// The time now. Only a receiver with a fix is right to the second.
    fn now(&self) -> Option<i64> {
        let fresh = self.quality == "satellites" && (0..=OLDEST_MS).contains(&self.age_ms);
        let milliseconds = self
            .unix_seconds
            .checked_mul(1_000)?
            .checked_add(self.age_ms)?;
        milliseconds.checked_mul(1_000_000).filter(|_| fresh)
    }
}

/// The GPS daemon has no errors of its own that matter here: no fix is an answer.
#[derive(Debug, zlink::ReplyError)]
#[zlink(interface = "org.birthmark.Gps")]
enum Refusal {}

#[zlink::proxy("org.birthmark.Gps")]
trait GpsCalls {
    async fn get_fix(&mut self) -> zlink::Result<Result<Told, Refusal>>;
}

impl RemoteLocator {
    /// The GPS daemon that one of `servers` serves at `path`.
    pub fn new(path: PathBuf, servers: Peers) -> Self {
        Self { path, servers }
    }

    /// Stays connected until the camera stops. The GPS daemon leaves when nobody is, and one that
    /// has just been started knows no place for a second or two: the first photo after a pause
    /// would have none.
    pub async fn stay_connected(&self, shutdown: &Shutdown) {
        let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                ended = self.hold(&mut backoff) => {
                    log::debug!("not connected to the GPS daemon: {ended:?}");
                }
            }
            backoff.failed();
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(backoff.pause(random::share())) => {}
            }
        }
    }

    /// Holds one connection until the GPS daemon ends. What it says is asked for anew with each
    /// photo.
    async fn hold(&self, backoff: &mut Backoff) -> Result<(), CallError> {
        let mut gps = varlink::connect(&self.path, &self.servers, DEADLINE).await?;
        loop {
            let Ok(_) = varlink::within(DEADLINE, gps.get_fix()).await?;
            backoff.succeeded();
            tokio::time::sleep(HELD).await;
        }
    }

    async fn ask(&self) -> Result<Whereabouts, PlaceError> {
        let mut gps = varlink::connect(&self.path, &self.servers, DEADLINE).await?;
        let Ok(told) = varlink::within(DEADLINE, gps.get_fix()).await?;
        let fresh = told.fix.filter(|fix| (0..=OLDEST_MS).contains(&fix.age_ms));
        let position = |fix: Fix| {
            let time = Timestamp::from_unix(fix.time);
            Position::new(fix.latitude, fix.longitude, fix.altitude, time)
        };
        let unix_ns = told.time.and_then(|time| time.now());
        Ok(Whereabouts {
            position: fresh.map(position).transpose()?,
            unix_ns,
        })
    }
}

impl Locator for RemoteLocator {
    fn whereabouts(&self) -> Answer<'_> {
        Box::pin(self.ask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fresh_time_from_satellites_counts() {
        let time = |quality: &str, age_ms| Time {
            unix_seconds: 100,
            age_ms,
            quality: quality.to_owned(),
        };
        assert_eq!(time("satellites", 1_500).now(), Some(101_500_000_000));
        assert_eq!(time("receiver_clock", 0).now(), None);
        assert_eq!(time("satellites", 60_000).now(), None);
        assert_eq!(
            Time {
                unix_seconds: i64::MAX,
                age_ms: 0,
                quality: "satellites".to_owned()
            }
            .now(),
            None
        );
    }

    #[test]
    fn a_clock_that_was_set_is_kept() {
        let sky = Whereabouts {
            position: None,
            unix_ns: Some(7),
        };
        let free = Moment {
            unix_ns: 1,
            clock: ClockQuality::Free,
        };
        let unset = Moment {
            unix_ns: 1,
            clock: ClockQuality::Unset,
        };
        assert_eq!(sky.date(free), free);
        assert_eq!(
            sky.date(unset),
            Moment {
                unix_ns: 7,
                clock: ClockQuality::Satellites
            }
        );
        assert_eq!(Whereabouts::default().date(unset), unset);
    }
}
