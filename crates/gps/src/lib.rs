//! NMEA in, fixes out: reads a GPS receiver on a serial line and answers where the camera is, if
//! that is known now.
//!
//! A place is told only while it is fresh and good enough; otherwise the answer names the reason.
//! Old coordinates are never repeated. This is no navigation: speed, course and satellites in view
//! are not looked at.

pub mod client;
pub mod messages;
pub mod settings;

mod fix;
mod line;
mod port;
mod receiver;
mod run;
mod sentence;
mod service;
mod time_source;

pub use client::GpsClient;
pub use messages::{Absence, FixReply};
pub use run::run;
pub use settings::GpsSettings;
