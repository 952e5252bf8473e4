//! The clock: its settings, its interface, its run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use birthmark_daemon::varlink::{Peers, User, serve};
use birthmark_daemon::{ConfigError, Context, Elsewhere, Reloads, Settings};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What `/etc/birthmark/clock.toml` may say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSettings {
    /// Where the time is told to anyone, as one line of text.
    pub listen: SocketAddr,
    /// Where the time is told by Varlink.
    pub socket: PathBuf,
    /// Who may ask there; by default the clock's own user.
    pub callers: Vec<User>,
    /// A file that must exist for the clock to call itself healthy.
    pub reference: Option<PathBuf>,
    /// Whether a credential `clock-seal` is needed.
    pub sealed: bool,
    /// Be wound up for this long before anybody is told the time.
    pub winding_milliseconds: u64,
    /// Leave after this many idle milliseconds, if systemd listens for us.
    pub idle_milliseconds: u64,
    /// Strike for this long after being asked to stop.
    pub strike_milliseconds: u64,
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            socket: "/run/birthmark/clock".into(),
            callers: Vec::new(),
            reference: None,
            sealed: false,
            winding_milliseconds: 0,
            idle_milliseconds: 60_000,
            strike_milliseconds: 0,
        }
    }
}

impl Settings for ClockSettings {
    const DAEMON: &'static str = "birthmark-clock";

    fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            return Err(ConfigError::field("listen", "must be a loopback address"));
        }
        Ok(())
    }
}

/// The answer to `Now`.
#[derive(Debug, Serialize, Deserialize, zlink::introspect::Type)]
pub struct Time {
    pub unix_seconds: i64,
}

#[derive(Debug, zlink::ReplyError, zlink::introspect::ReplyError)]
#[zlink(interface = "org.birthmark.Clock")]
pub enum ClockError {
    /// The clock does not wait that long.
    TooLong { longest_milliseconds: i64 },
}

#[derive(Debug, Clone)]
pub struct Clock;

#[zlink::service(
    interface = "org.birthmark.Clock",
    vendor = "Birthmark",
    product = "birthmark-clock",
    version = "1",
    url = "https://github.com/Birthmark-Standard/Birthmark"
)]
impl Clock {
    /// Tells the time.
    async fn now(&self) -> Result<Time, ClockError> {
        Ok(Time {
            unix_seconds: unix_seconds(),
        })
    }

    /// Tells the time after a while.
    async fn later(&self, milliseconds: i64) -> Result<Time, ClockError> {
        let longest_milliseconds = 60_000;
        if milliseconds > longest_milliseconds {
            return Err(ClockError::TooLong {
                longest_milliseconds,
            });
        }
        tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs())).await;
        self.now().await
    }
}

#[zlink::proxy("org.birthmark.Clock")]
pub trait ClockCalls {
    async fn now(&mut self) -> zlink::Result<Result<Time, ClockError>>;
    async fn later(&mut self, milliseconds: i64) -> zlink::Result<Result<Time, ClockError>>;
}

pub async fn run(settings: ClockSettings, mut context: Context) -> anyhow::Result<()> {
    if settings.sealed {
        let seal = context.credentials.secret("clock-seal")?;
        log::info!("sealed with {seal:?}, {} bytes", seal.bytes().len());
    }
    let callers = match settings.callers.is_empty() {
        true => Peers::same_user(),
        false => Peers::users(&settings.callers)?,
    };
    let text = context.sockets.tcp("text", settings.listen).await?;
    let varlink = context
        .sockets
        .unix("varlink", &settings.socket, 0o600)
        .await?;
    let winding = tokio::time::sleep(Duration::from_millis(settings.winding_milliseconds));
    context.service.patiently("Winding up", winding).await;
    let reference = settings.reference.clone();
    context.service.watch(move || healthy(reference.clone()));
    let idle = context.idle_after(Duration::from_millis(settings.idle_milliseconds));
    let reloads = context.service.reloads()?;
    context.ready();
    let shutdown = context.shutdown.clone();
    tokio::select! {
        served = serve(varlink, Clock, callers, idle, shutdown.clone()) => served?,
        told = tell(text) => told?,
        () = wind(&context, reloads) => {}
    }
    if shutdown.is_requested() {
        tokio::time::sleep(Duration::from_millis(settings.strike_milliseconds)).await;
    }
    Ok(())
}

/// What there is to do anew when asked to reload.
async fn wind(context: &Context, mut reloads: Reloads) {
    loop {
        reloads.next().await;
        context.service.reloading();
        log::info!("wound");
        context.ready();
    }
}

async fn healthy(reference: Option<PathBuf>) -> anyhow::Result<()> {
    if let Some(reference) = reference {
        // Where its folder is gone, another machine is: no restart of ours brings that back.
        if !reference.parent().is_some_and(Path::exists) {
            let away = anyhow::anyhow!("the machine of the reference clock is away");
            return Err(Elsewhere::new(away).into());
        }
        anyhow::ensure!(reference.exists(), "the reference clock is gone");
    }
    Ok(())
}

async fn tell(text: Vec<TcpListener>) -> anyhow::Result<()> {
    let mut telling = JoinSet::new();
    for listener in text {
        telling.spawn(tell_at(listener));
    }
    telling.join_next().await.context("nobody to tell")??
}

async fn tell_at(text: TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut caller, _) = text.accept().await?;
        caller
            .write_all(format!("{}\n", unix_seconds()).as_bytes())
            .await?;
    }
}

fn unix_seconds() -> i64 {
    birthmark_daemon::clock::seconds()
}
