//! Varlink: how the camera's daemons talk, as systemd's own services do.
//!
//! An interface is an `impl` block under [`macro@zlink::service`]; the caller's side is a trait
//! under [`macro@zlink::proxy`]. This module adds what those leave open: who may call (the kernel's
//! word for it, from `SO_PEERCRED`), how large a message may be, one task per connection so that a
//! caller who does not read its replies stalls nobody else, an end at shutdown that lets running
//! calls finish, and an end when idle.
//!
//! ```
//! use birthmark_daemon::{Idle, Shutdown, varlink};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize, zlink::introspect::Type)]
//! pub struct Time { unix_seconds: i64 }
//!
//! #[derive(Debug, zlink::ReplyError, zlink::introspect::ReplyError)]
//! #[zlink(interface = "org.birthmark.Clock")]
//! pub enum ClockError { NotSet }
//!
//! #[derive(Clone)]
//! pub struct Clock;
//!
//! #[zlink::service(interface = "org.birthmark.Clock", vendor = "Birthmark", product = "birthmark-clock",
//!     version = "1", url = "https://github.com/Birthmark-Standard/Birthmark")]
//! impl Clock {
//!     async fn now(&self) -> Result<Time, ClockError> { Ok(Time { unix_seconds: 1_700_000_000 }) }
//! }
//!
//! #[zlink::proxy("org.birthmark.Clock")]
//! pub trait ClockCalls {
//!     async fn now(&mut self) -> zlink::Result<Result<Time, ClockError>>;
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("clock");
//! let listener = tokio::net::UnixListener::bind(&path).unwrap();
//! let shutdown = Shutdown::default();
//! let callers = varlink::Peers::same_user();
//! let server = tokio::spawn(varlink::serve(listener, Clock, callers, Idle::never(), shutdown.clone()));
//!
//! let deadline = std::time::Duration::from_secs(5);
//! let mut clock = varlink::connect(&path, &varlink::Peers::same_user(), deadline).await.unwrap();
//! let time = varlink::within(deadline, clock.now()).await.unwrap().unwrap();
//! assert_eq!(time.unix_seconds, 1_700_000_000);
//! drop(clock);
//!
//! shutdown.request();
//! server.await.unwrap().unwrap();
//! # });
//! ```

mod bounded;
mod calling;
mod guard;
mod peers;
mod serving;
mod understood;

pub use bounded::{Bounded, LARGEST_MESSAGE};
pub use calling::{CallError, connect, within};
pub use peers::{PeerError, Peers, User};
pub use serving::serve;
