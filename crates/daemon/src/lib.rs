//! The shell every daemon shares: configuration, credentials, journal, readiness, sockets,
//! shutdown, Varlink.
//!
//! A daemon is a library with its settings and one `run`, under a `main` of a few lines:
//!
//! ```no_run
//! use birthmark_daemon::{ConfigError, Context, Settings};
//! use serde::{Deserialize, Serialize};
//!
//! /// What `/etc/birthmark/clock.toml` may say.
//! #[derive(Debug, Serialize, Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! struct ClockSettings {
//!     listen: std::net::SocketAddr,
//! }
//!
//! impl Default for ClockSettings {
//!     fn default() -> Self {
//!         Self { listen: ([127, 0, 0, 1], 8001).into() }
//!     }
//! }
//!
//! impl Settings for ClockSettings {
//!     const DAEMON: &'static str = "birthmark-clock";
//!
//!     fn check(&self) -> Result<(), ConfigError> {
//!         match self.listen.ip().is_loopback() {
//!             true => Ok(()),
//!             false => Err(ConfigError::field("listen", "must be a loopback address")),
//!         }
//!     }
//! }
//!
//! async fn run(settings: ClockSettings, mut context: Context) -> anyhow::Result<()> {
//!     let salt = context.credentials.secret("clock-salt")?;
//!     let listener = context.sockets.tcp("http", settings.listen).await?;
//!     context.service.watch(|| async { Ok(()) });
//!     context.ready();
//!     context.shutdown.requested().await;
//!     drop((salt, listener));
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     birthmark_daemon::main("Tells the time", run)
//! }
//! ```
//!
//! The same `run` works inside another program or a test, with [`Context::embedded`]: every address
//! is then taken from the settings (port 0 is a free port), and the starter learns what it became.

pub mod addresses;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod durable;
pub mod logging;
pub mod random;
pub mod reasons;
pub mod seats;
pub mod users;
pub mod varlink;

mod command;
mod context;
mod credentials;
mod idle;
mod message_id;
mod position;
mod program;
mod service;
mod shutdown;
mod sockets;

pub use addresses::{Address, Addresses};
pub use backoff::Backoff;
pub use command::VERSION;
pub use config::{ConfigError, Settings};
pub use context::Context;
pub use credentials::{CredentialError, Credentials, Secret};
pub use idle::{Busy, Idle};
pub use message_id::MessageId;
pub use program::{Program, StaysStopped, main};
pub use service::{Elsewhere, Reloads, Service};
pub use shutdown::Shutdown;
pub use sockets::{SocketError, Sockets};
