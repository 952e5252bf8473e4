//! The engine (Malachite) behind types of our own. Nothing outside this module names it.
//!
//! Only its core is used: a state machine that takes inputs and yields effects, and does no I/O.
//! Its own network, its log and its synchronisation are left out on purpose. They bring a second
//! identity and a second port for whoever runs a validator, a second TLS (`ring`), QUIC and DNS,
//! and they would sign and store in formats that are not ours. What they do is short where all
//! members know one another: see [`crate::agreement`].

mod context;
mod effects;
mod events;
mod machine;
mod translate;

pub(crate) use events::{Action, Entry, Event, MachineError, Timer, TimerKind};
pub(crate) use machine::Machine;
