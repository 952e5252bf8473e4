//! What both HTTP daemons share: connections with limits, errors for clients, client addresses, TLS, databases.
//!
//! Nothing here knows what is served. A slow, greedy or malformed client costs a bounded amount of memory and time, and is
//! told what was wrong.

pub mod body;
pub mod client;
mod connection_limit;
pub mod database;
pub mod error;
pub mod extract;
mod head_clock;
mod idle_timeout;
mod log_throttle;
pub mod peer;
pub mod server;
pub mod tls;

pub use body::Json;
pub use client::{ClientAddress, TrustedProxies};
pub use database::Database;
pub use error::ApiError;
pub use extract::{Path, Query};
pub use hyper::body::Incoming;
pub use log_throttle::LogThrottle;
pub use peer::Peer;
pub use server::{Answer, Answered, Listener, ServerLimits, serve};
pub use tls::TlsFiles;
