//! The shell, seen from outside: a real daemon driven by command line, signals, passed sockets and
//! calls.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../../examples/clock/clock.rs"]
mod clock;

mod command_line;
mod credentials;
mod embedded;
mod idle;
mod notices;
mod running;
mod shutdown;
mod sockets;
mod varlink;
