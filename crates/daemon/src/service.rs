//! Messages to the service manager: READY, STATUS, STOPPING, RELOADING, and the watchdog's
//! keep-alive.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::addresses::Addresses;
use crate::message_id::SELF_CHECK_FAILS;

/// How often a daemon that is not ready yet says so.
const STILL_AT_IT: Duration = Duration::from_secs(3);
/// How long it then has until it must say so again, in microseconds: a minute, for a machine that
/// has no time for us.
const LONGER: u32 = 60_000_000;

/// The line to whoever started this daemon: systemd, or the program or test it is embedded in.
#[derive(Debug, Clone)]
pub struct Service {
    starter: Arc<Starter>,
}

#[derive(Debug)]
enum Starter {
    Systemd,
    Program(Mutex<Option<oneshot::Sender<Addresses>>>),
}

impl Service {
    /// Started by systemd, or by hand: without `$NOTIFY_SOCKET` the messages go nowhere.
    pub fn of_systemd() -> Self {
        Self {
            starter: Arc::new(Starter::Systemd),
        }
    }

    /// Started inside another program, which learns the addresses once they are listening.
    pub fn embedded() -> (Self, oneshot::Receiver<Addresses>) {
        let (sender, receiver) = oneshot::channel();
        let starter = Starter::Program(Mutex::new(Some(sender)));
        let service = Self {
            starter: Arc::new(starter),
        };
        (service, receiver)
    }

    /// Everything is listening and requests are answered.
    pub fn ready(&self, addresses: Addresses) {
        if !matches!(*self.starter, Starter::Systemd) {
            return self.tell_program(addresses);
        }
        log::info!("ready: {addresses}");
        let status = format!("Listening: {addresses}");
        self.notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    fn tell_program(&self, addresses: Addresses) {
        let Starter::Program(waiting) = &*self.starter else {
            return;
        };
        let waiting = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waiting) = waiting {
            // A starter that no longer waits does not need the addresses.
            let _ = waiting.send(addresses);
        }
    }

    /// One line on what the daemon is doing, shown by `systemctl status`.
    pub fn status(&self, status: &str) {
        self.notify(&[NotifyState::Status(status)]);
    }

    /// Waits for `work` on the way to [`Service::ready`], as long as it takes: systemd hears every
    /// few seconds that this daemon is still at it, and what it does, and does not end it for being
    /// late (`TimeoutStartSec=`).
    pub async fn patiently<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let begin = Instant::now();
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval_at(begin + STILL_AT_IT, STILL_AT_IT);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => self.still_at(what, begin.elapsed()),
            }
        }
    }

    fn still_at(&self, what: &str, elapsed: Duration) {
        let status = format!("{what}, for {} s so far", elapsed.as_secs());
        self.notify(&[
            NotifyState::ExtendTimeoutUsec(LONGER),
            NotifyState::Status(&status),
        ]);
    }

    /// The daemon has begun to stop.
    pub fn stopping(&self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    }

    /// The daemon has begun to read its configuration anew; [`Service::ready`] says when it is
    /// done.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("cannot tell systemd of the reload: {error}"),
        }
    }

    /// The requests to read the configuration anew (`systemctl reload`, SIGHUP), of which none gets
    /// lost from here on.
    pub fn reloads(&self) -> std::io::Result<Reloads> {
        let hangups = match *self.starter {
            Starter::Systemd => Some(signal(SignalKind::hangup())?),
            Starter::Program(_) => None,
        };
        Ok(Reloads(hangups))
    }

    /// Feeds the watchdog for as long as `check` passes; does nothing where no watchdog is set
    /// (`WatchdogSec=`).
    ///
    /// A check that fails, or hangs for half the watchdog's time, keeps the message back: systemd
    /// then ends and restarts the daemon. A failure that lies [`Elsewhere`] is reported, and the
    /// daemon goes on.
    pub fn watch<C, F>(&self, check: C)
    where
        C: Fn() -> F + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send,
    {
        if !matches!(*self.starter, Starter::Systemd) {
            return;
        }
        if let Some(limit) = sd_notify::watchdog_enabled() {
            let service = self.clone();
            tokio::spawn(async move { service.feed(check, limit / 2).await });
        }
    }

    async fn feed<C, F>(&self, check: C, every: Duration)
    where
        C: Fn() -> F,
        F: Future<Output = anyhow::Result<()>>,
    {
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
        let mut failing = false;
        loop {
            ticks.tick().await;
            let outcome = match tokio::time::timeout(every, check()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow::anyhow!("no result within {every:?}")),
            };
            match outcome {
                Ok(()) if failing => {
                    log::info!("self-check passes again");
                    self.notify(&[NotifyState::Watchdog, NotifyState::Status("Running")]);
                }
                Ok(()) => self.notify(&[NotifyState::Watchdog]),
                Err(ref error) => self.tell_failure(error, failing),
            }
            failing = outcome.is_err();
        }
    }

    fn tell_failure(&self, error: &anyhow::Error, told: bool) {
        let elsewhere = error.is::<Elsewhere>();
        if elsewhere {
            self.notify(&[NotifyState::Watchdog]);
        }
        if told {
            log::debug!("self-check still fails: {error:#}");
            return;
        }
        let consequence = if elsewhere {
            "a restart would not mend it"
        } else {
            "the watchdog is not fed"
        };
        log::error!(MESSAGE_ID = SELF_CHECK_FAILS; "self-check fails, {consequence}: {error:#}");
        self.status(&format!("Self-check fails: {error:#}"));
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        if matches!(*self.starter, Starter::Program(_)) {
            return;
        }
        if let Err(error) = sd_notify::notify(states) {
            log::warn!("cannot notify the service manager: {error}");
        }
    }
}

/// A self-check's finding about something outside this process, as a database that is away: whoever
/// restarts for that loses what is still answered from memory, and gains nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Elsewhere(anyhow::Error);

impl Elsewhere {
    /// What is wrong there.
    pub fn new(error: impl Into<anyhow::Error>) -> Self {
        Self(error.into())
    }
}

/// Requests to read the configuration anew.
#[derive(Debug)]
pub struct Reloads(Option<Signal>);

impl Reloads {
    /// Waits for the next request. Inside another program there are none.
    pub async fn next(&mut self) {
        if let Some(hangups) = &mut self.0
            && hangups.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
