//! A fix, and what makes one good enough.

use birthmark_protocol::Timestamp;
use birthmark_protocol::gps::Position;

use crate::messages::{Absence, Quality};
use crate::sentence::{Gga, Minimum};

/// No receiver has a fix from before this program was written: 2026-11-01. A receiver whose week
/// counter has rolled over says something earlier.
const EARLIEST: Timestamp = Timestamp::from_unix(1_793_491_200);
/// And none from after its week counter could have rolled over, nineteen years on.
const LATEST: Timestamp = Timestamp::from_unix(1_793_491_200 + 19 * 365 * 86_400);

/// What a fix must have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Demands {
    /// At least so many satellites.
    pub satellites: u32,
    /// At most so much dilution of precision.
    pub hdop: f32,
}

/// A place that passed every test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GoodFix {
    /// Where and when.
    pub position: Position,
    /// How it was found.
    pub quality: Quality,
    /// From how many satellites.
    pub satellites: u32,
    /// How precisely.
    pub hdop: f32,
}

/// Whether a date is one that a working receiver can have.
pub(crate) fn is_plausible(time: Timestamp) -> bool {
    (EARLIEST..=LATEST).contains(&time)
}

/// Judges the two sentences of one second.
pub(crate) fn judge(minimum: &Minimum, gga: &Gga, demands: Demands) -> Result<GoodFix, Absence> {
    let quality = gga
        .quality
        .filter(|_| minimum.valid)
        .ok_or(Absence::Searching)?;
    let time = minimum
        .time
        .filter(|time| is_plausible(*time))
        .ok_or(Absence::ImplausibleDate)?;
    if gga.satellites < demands.satellites {
        return Err(Absence::FewSatellites);
    }
    // Not a number is not precise either.
    let hdop = gga
        .hdop
        .filter(|hdop| (0.0..=demands.hdop).contains(hdop))
        .ok_or(Absence::Imprecise)?;
    let position = gga.position(time).ok_or(Absence::Searching)?;
    Ok(GoodFix {
        position,
        quality,
        satellites: gga.satellites,
        hdop,
    })
}
