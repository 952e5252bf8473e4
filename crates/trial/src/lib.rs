//! A network of validators on one machine: loaded, disturbed, measured and checked.
//!
//! `cargo xtask net` runs it. The validators are the program that ships, one process each with a
//! database of its own; an authority certifies cameras, whose submissions are really signed; every
//! link between two validators goes through a relay that can cut it, delay it and lose packets.
//!
//! While it runs, two things are watched: nothing is decided where not more than two thirds are
//! connected, and something is decided where they are. At the end every history is read from its
//! database: all must be the same, byte for byte, and hold everything that was accepted once.

mod changes;
mod check;
mod clock;
mod figures;
mod load;
mod member;
mod network;
mod options;
mod plan;
mod random;
mod relay;
mod run;
mod trial;
mod view;
mod volume;
mod watch;

pub mod authority;
pub mod camera;
pub mod http;

pub use run::main;
