//! What both HTTP daemons share: connections with limits, errors for clients, client addresses,
//! TLS, databases, the site.
//!
//! Nothing here knows what is served. A slow, greedy or malformed client costs a bounded amount of
//! memory and time, and is told what was wrong.

mod answering;
pub mod body;
mod byte_budget;
mod client;
mod connection_limit;
pub mod database;
mod error;
mod extract;
mod head_clock;
mod idle_timeout;
mod log_throttle;
mod peer;
mod seats;
mod server;
pub mod site;
mod tls;

pub use body::Json;
pub use byte_budget::ByteBudget;
pub use client::{ClientAddress, TrustedProxies};
pub use database::Database;
pub use error::ApiError;
pub use extract::{Path, Query};
pub use hyper::body::Incoming;
pub use log_throttle::LogThrottle;
pub use peer::Peer;
pub use seats::{NoSeat, Seat, Seats};
pub use server::{Answer, Answered, Listener, ServerLimits, serve};
pub use tls::{ReloadingAcceptor, TlsFiles};
