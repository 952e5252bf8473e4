//! What the daemon says over Varlink. The service and its clients share these types.

use serde::{Deserialize, Serialize};
use zlink::introspect::Type;

/// The answer to `GetFix`, and each part of the answer to `Subscribe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct FixReply {
    /// Where the camera is; absent when that is not known now.
    pub fix: Option<Fix>,
    /// Why there is no fix.
    pub reason: Option<Absence>,
    /// The reason as a sentence.
    pub detail: Option<String>,
    /// What time the receiver says it is.
    pub time: Option<TimeHint>,
}

/// A place, fresh and good enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Fix {
    /// Hundred-thousandths of a degree, south negative.
    pub latitude: i32,
    /// Hundred-thousandths of a degree, west negative.
    pub longitude: i32,
    /// Whole metres above sea level, if the receiver knew.
    pub altitude: Option<i32>,
    /// Unix seconds of the fix.
    pub time: i64,
    /// Milliseconds since the fix was received.
    pub age_ms: i64,
    /// How the receiver found it.
    pub quality: Quality,
    /// How many satellites it used.
    pub satellites: i64,
    /// Horizontal dilution of precision: times about five metres.
    pub hdop: f64,
}

/// How a receiver found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
#[zlink(rename_all = "snake_case")]
pub enum Quality {
    /// From satellites alone.
    Autonomous,
    /// With corrections.
    Differential,
    /// Real-time kinematic, fixed.
    Rtk,
    /// Real-time kinematic, floating.
    FloatRtk,
}

/// Why there is no fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
#[zlink(rename_all = "snake_case")]
pub enum Absence {
    /// The serial line cannot be opened.
    NoReceiver,
    /// The line is open and nothing comes.
    Silent,
    /// Something comes that is no NMEA: another device, or another speed.
    Garbled,
    /// The receiver itself says it has no fix.
    Searching,
    /// Fewer satellites than configured.
    FewSatellites,
    /// A dilution of precision worse than configured.
    Imprecise,
    /// A date that cannot be: the receiver's clock is wrong.
    ImplausibleDate,
    /// The last fix is older than five seconds.
    Stale,
}

/// What time the receiver says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TimeHint {
    /// Unix seconds at the moment it was received.
    pub unix_seconds: i64,
    /// Milliseconds since then.
    pub age_ms: i64,
    /// How far to trust it.
    pub quality: TimeQuality,
}

/// How far a receiver's time can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
#[zlink(rename_all = "snake_case")]
pub enum TimeQuality {
    /// From satellites, with a fix: right to the second.
    Satellites,
    /// From the receiver's own clock, without a fix: may be off by much.
    ReceiverClock,
}
