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
    /// The camera's manufacturer.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(unix_ns: i64, analogue_gain: f32) -> Exposure {
        Exposure {
            moment: Moment {
                unix_ns,
                clock: ClockQuality::Free,
            },
            exposure_us: 4_000,
            analogue_gain,
            colour_gains: [2.0, 1.6],
            colour_matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            colour_temperature: None,
            black_level: 256,
            sensor_temperature: None,
            make: "maker".to_owned(),
            model: "model".to_owned(),
        }
    }

    #[test]
    fn sensitivity_is_a_number_of_exif_whatever_the_gain_is() {
        for (gain, iso) in [(1.0, 100), (2.5, 250), (0.0, 1), (-3.0, 1), (1e9, 65_535)] {
            assert_eq!(exposed(0, gain).iso(), iso, "{gain}");
        }
    }

    #[test]
    fn a_bundle_s_second_is_the_one_that_had_begun_before_1970_too() {
        for (unix_ns, second) in [
            (0, 0),
            (999_999_999, 0),
            (1_000_000_000, 1),
            (-1, -1),
            (-1_000_000_000, -1),
            (-1_000_000_001, -2),
        ] {
            assert_eq!(exposed(unix_ns, 1.0).moment.timestamp().unix(), second);
        }
    }

    #[test]
    fn what_a_sidecar_keeps_of_an_exposure_is_read_as_it_was_written() {
        let exposure = exposed(1_795_176_000_123_456_789, 1.75);
        let text = toml::to_string(&exposure).unwrap();
        assert!(text.contains("clock = \"free\""), "{text}");
        assert_eq!(toml::from_str::<Exposure>(&text).unwrap(), exposure);
    }
}
