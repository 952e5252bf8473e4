//! What a daemon is given when it starts.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::addresses::Addresses;
use crate::credentials::Credentials;
use crate::idle::Idle;
use crate::service::Service;
use crate::shutdown::Shutdown;
use crate::sockets::Sockets;

/// The world around one daemon: the same for a unit of systemd, the demonstration and a test.
#[derive(Debug)]
pub struct Context {
    /// Listening sockets, passed or bound.
    pub sockets: Sockets,
    /// The wish to stop.
    pub shutdown: Shutdown,
    /// The line to whoever started the daemon.
    pub service: Service,
    /// The daemon's secrets.
    pub credentials: Credentials,
}

impl Context {
    /// The world systemd prepared. Only the first call in a process gets its sockets.
    pub fn from_environment(shutdown: Shutdown) -> Self {
        Self {
            sockets: Sockets::from_environment(),
            shutdown,
            service: Service::of_systemd(),
            credentials: Credentials::from_environment(),
        }
    }

    /// A world inside another program, which receives the addresses once the daemon is ready.
    pub fn embedded(
        credentials: Credentials,
        shutdown: Shutdown,
    ) -> (Self, oneshot::Receiver<Addresses>) {
        let (service, addresses) = Service::embedded();
        let context = Self {
            sockets: Sockets::none(),
            shutdown,
            service,
            credentials,
        };
        (context, addresses)
    }

    /// Tells the starter that every socket taken so far is being served, and warns of passed
    /// sockets nobody took.
    pub fn ready(&self) {
        for name in self.sockets.unclaimed() {
            log::warn!("systemd passed the socket `{name}`, which this daemon does not use");
        }
        self.service.ready(self.sockets.addresses().clone());
    }

    /// Idleness after `quiet`, if systemd would start the daemon again at the next call; never
    /// otherwise.
    pub fn idle_after(&self, quiet: Duration) -> Idle {
        match self.sockets.activated() {
            true => Idle::after(quiet),
            false => Idle::never(),
        }
    }
}
