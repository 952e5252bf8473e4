//! A sensor that does not exist, looking at a lake that does not exist.
//!
//! Everything after the sensor is the real path: 12-bit samples behind a colour filter, shot and
//! read noise, a pattern of slightly unequal pixels that stays the same for one sensor, and padded
//! rows. Frames differ from shot to shot; the same sensor seed and shot number give the same frame
//! again.

mod house;
mod light;
mod noise;
mod plants;
mod scene;
mod sensor;
mod shapes;
mod terrain;

pub use sensor::FixedPattern;

use std::time::Duration;

use birthmark_sensor::{
    CfaOrder, Exposure, FixedExposure, Matrix, RawFrame, RawSource, Shot, SourceError, Subject,
    check_size, clock,
};

use self::noise::{Dice, Texture, mix};
use self::scene::Scene;
use self::sensor::{BLACK_LEVEL, Optics, Sensor};

/// Samples in a row of the sensor we imitate.
pub const WIDTH: u32 = 4056;
/// Its rows.
pub const HEIGHT: u32 = 3040;
/// Rows begin at multiples of this many bytes, as video hardware likes it.
const ALIGNMENT: usize = 32;
/// From balanced camera colours to linear sRGB: each row adds up to one, so that grey stays grey.
const COLOUR_MATRIX: Matrix = [
    [1.72, -0.52, -0.20],
    [-0.27, 1.61, -0.34],
    [-0.01, -0.58, 1.59],
];
/// Red and blue are weaker than green behind their filters.
const COLOUR_GAINS: [f32; 2] = [2.05, 1.62];

/// A simulated camera.
pub struct Simulated {
    name: String,
    size: (u32, u32),
    sensor: Sensor,
    texture: Texture,
    shots: u64,
    subject: Subject,
    fixed: Option<FixedExposure>,
}

impl Simulated {
    /// The camera whose sensor has the pattern `sensor_seed`; its next frame is number
    /// `first_shot`.
    pub fn new(sensor_seed: u64, first_shot: u64) -> Self {
        Self::with_size(sensor_seed, first_shot, WIDTH, HEIGHT)
    }

    /// The same with a smaller or larger sensor; odd sizes are refused at the first capture.
    pub fn with_size(sensor_seed: u64, first_shot: u64, width: u32, height: u32) -> Self {
        Self {
            name: format!("simulated sensor {sensor_seed}, {width}x{height}"),
            size: (width, height),
            sensor: Sensor::new(sensor_seed, Optics::new(&COLOUR_MATRIX, COLOUR_GAINS)),
            texture: Texture::new(0x1A4E),
            shots: first_shot,
            subject: Subject::Scene,
            fixed: None,
        }
    }

    /// The unevenness of this sensor, as calibration should find it.
    pub fn fixed_pattern(&self) -> FixedPattern {
        self.sensor.pattern()
    }

    fn expose(&self, seed: u64) -> Result<(RawFrame, u32, f32), SourceError> {
        let (width, height) = self.size;
        check_size(width, height)?;
        let (columns, rows) = (width as usize / 2, height as usize / 2);
        let stride = (columns * 3).next_multiple_of(ALIGNMENT);
        let mut packed = vec![0xA5; stride * height as usize];
        let (exposure_us, gain) = match self.subject {
            Subject::Scene => {
                let scene = Scene::compose(seed, &self.texture, columns, rows);
                let (exposure_us, gain) = scene.exposure();
                self.sensor.expose_scene(
                    &scene,
                    (columns, rows),
                    (seed, gain),
                    &mut packed,
                    stride,
                );
                (exposure_us, gain)
            }
            Subject::Cap | Subject::Diffuser => {
                let fixed = self.fixed.unwrap_or(FixedExposure {
                    exposure_us: 10_000,
                    analogue_gain: 1.0,
                });
                let level = if self.subject == Subject::Cap {
                    0.0
                } else {
                    even_light(fixed)
                };
                self.sensor.expose_evenly(
                    level,
                    columns,
                    (seed, fixed.analogue_gain),
                    &mut packed,
                    stride,
                );
                (fixed.exposure_us, fixed.analogue_gain)
            }
        };
        Ok((
            RawFrame::from_packed(width, height, stride, CfaOrder::Rggb, packed)?,
            exposure_us,
            gain,
        ))
    }
}

/// A diffuser in daylight fills the pixels half at ten milliseconds.
fn even_light(fixed: FixedExposure) -> f32 {
    0.5 * fixed.analogue_gain * fixed.exposure_us as f32 / 10_000.0
}

impl RawSource for Simulated {
    fn name(&self) -> &str {
        &self.name
    }

    fn capture(&mut self) -> Result<Shot, SourceError> {
        let moment = clock::before_now(Duration::ZERO);
        let seed = mix(self.sensor.seed() ^ mix(self.shots));
        self.shots = self.shots.wrapping_add(1);
        let (frame, exposure_us, analogue_gain) = self.expose(seed)?;
        let mut dice = Dice::new(seed ^ 1);
        let exposure = Exposure {
            moment,
            exposure_us,
            analogue_gain,
            colour_gains: COLOUR_GAINS,
            colour_matrix: COLOUR_MATRIX,
            colour_temperature: Some(5_200),
            black_level: BLACK_LEVEL,
            sensor_temperature: Some((dice.between(31.0, 34.0) * 10.0).round() / 10.0),
            make: "Birthmark".to_owned(),
            model: "Simulated IMX477".to_owned(),
        };
        Ok(Shot {
            frame,
            exposure,
            still: None,
        })
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        self.fixed = fixed;
        Ok(())
    }

    fn before_the_lens(&mut self, subject: Subject) {
        self.subject = subject;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(seed: u64, shot: u64) -> Simulated {
        Simulated::with_size(seed, shot, 320, 240)
    }

    fn samples(camera: &mut Simulated) -> Vec<u16> {
        camera.capture().unwrap().frame.samples()
    }

    #[test]
    fn the_same_shot_comes_again_and_another_is_another() {
        let first = small(1, 0).capture().unwrap().frame;
        assert_eq!(
            first.digest(),
            small(1, 0).capture().unwrap().frame.digest()
        );
        assert_ne!(
            first.digest(),
            small(1, 1).capture().unwrap().frame.digest()
        );
        assert_ne!(
            first.digest(),
            small(2, 0).capture().unwrap().frame.digest()
        );
    }

    #[test]
    fn rows_are_padded_and_the_padding_is_not_part_of_the_digest() {
        let frame = small(1, 0).capture().unwrap().frame;
        assert_eq!((frame.row_bytes(), frame.stride()), (480, 480));
        let mut full = Simulated::with_size(1, 0, WIDTH, 16);
        let frame = full.capture().unwrap().frame;
        assert_eq!((frame.row_bytes(), frame.stride()), (6084, 6112));
        let unpadded = RawFrame::from_samples(WIDTH, 16, CfaOrder::Rggb, &frame.samples()).unwrap();
        assert_eq!(unpadded.digest(), frame.digest());
    }

    #[test]
    fn a_capped_lens_sees_only_read_noise() {
        let mut camera = small(3, 0);
        camera.before_the_lens(Subject::Cap);
        let samples = samples(&mut camera);
        let mean = samples.iter().map(|s| f64::from(*s)).sum::<f64>() / samples.len() as f64;
        let variance = samples
            .iter()
            .map(|s| (f64::from(*s) - mean).powi(2))
            .sum::<f64>()
            / samples.len() as f64;
        assert!((mean - f64::from(BLACK_LEVEL)).abs() < 0.3, "mean {mean}");
        assert!(
            (2.0..3.0).contains(&variance.sqrt()),
            "deviation {}",
            variance.sqrt()
        );
    }

    #[test]
    fn the_unevenness_of_a_sensor_stays_with_it() {
        let mut camera = small(4, 0);
        camera.before_the_lens(Subject::Diffuser);
        let frames: Vec<Vec<u16>> = (0..24).map(|_| samples(&mut camera)).collect();
        let pattern = camera.fixed_pattern();
        let mut product = 0.0;
        let (mut measured, mut known) = (0.0, 0.0);
        for y in 0..240 {
            for x in (y % 2..320).step_by(2) {
                let mean = frames
                    .iter()
                    .map(|f| f64::from(f[y * 320 + x]))
                    .sum::<f64>()
                    / 24.0;
                let colour_mean =
                    256.0 + 0.5 * 3839.0 * if y % 2 == 0 { 1.0 / 2.05 } else { 1.0 / 1.62 };
                let (a, b) = (
                    mean / colour_mean - 1.0,
                    f64::from(pattern.at(x, y).0) - 1.0,
                );
                product += a * b;
                measured += a * a;
                known += b * b;
            }
        }
        let correlation = product / (measured * known).sqrt();
        assert!(correlation > 0.6, "correlation {correlation}");
    }

    #[test]
    fn an_odd_sensor_is_an_error_not_a_panic() {
        assert!(Simulated::with_size(1, 0, 321, 240).capture().is_err());
        assert!(Simulated::with_size(1, 0, 0, 0).capture().is_err());
    }
}
