//! What the camera knows about one exposure besides its samples.

use birthmark_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// Three by three numbers, row by row.
pub type Matrix = [[f32; 3]; 3];

/// How far the clock that dated a photo can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockQuality {
    /// The kernel's clock is kept in step with a reference.
    Synchronised,
    /// The clock runs freely: right when it was last set.
    Free,
    /// The clock was never set; the time is that of a GPS receiver with a fix.
    Satellites,
    /// The clock says a time that cannot be: it was never set.
    Unset,
}

/// When the sensor was exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Nanoseconds since 1970-01-01 UTC.
    pub unix_ns: i64,
    /// What that is worth.
    pub clock: ClockQuality,
}

impl Moment {
    /// Whole seconds, as bundles carry them.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_unix(self.unix_ns.div_euclid(1_000_000_000))
    }
}

/// What was set and measured while the shutter was open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// When it began.
    pub moment: Moment,
    /// For how many microseconds light was collected.
    pub exposure_us: u32,
    /// Amplification before the samples were taken.
    pub analogue_gain: f32,
    /// Amplification of red and blue that makes grey grey; green is 1.
    pub colour_gains: [f32; 2],
    /// From balanced camera colours to linear sRGB.
    pub colour_matrix: Matrix,
    /// Colour temperature of the light in kelvin, if the camera estimated it.
    pub colour_temperature: Option<u32>,
    /// The sample that means no light.
    pub black_level: u16,
    /// Temperature of the sensor in degrees Celsius, if it says.
    pub sensor_temperature: Option<f32>,
    /// Who made the camera.
    pub make: String,
    /// Which model it is.
    pub model: String,
}

impl Exposure {
    /// Sensitivity as photographers write it.
    pub fn iso(&self) -> u16 {
        (self.analogue_gain * 100.0).round().clamp(1.0, 65_535.0) as u16
    }
}
