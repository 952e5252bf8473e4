//! Measuring the sensor, once: what every pixel does differently from its neighbours.
//!
//! Three steps, because a person has to change what is before the lens in between: `flat` with an evenly lit white surface,
//! which also finds the exposure; `dark` with the cap on, at the same exposure; `finish`, which computes the map, writes it
//! with its report and tells its hash. Steps are kept in memory until then.
//!
//! A map is never overwritten: a camera that was provisioned with it could not prove so any more, and measuring again never
//! gives the same hash.

mod frames;
mod map;
mod plot;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use birthmark_protocol::Timestamp;
use birthmark_protocol::nuc::{ColourFilter, NucError, NucHeader, NucMap, nuc_hash};

use crate::chance::{self, NoRandomness};
use crate::durable;
use crate::exposure::Exposure;
use crate::frame::{BIT_DEPTH, CfaOrder};
use crate::source::{FixedExposure, RawSource, SourceError, Subject};
use frames::{Means, Sums, brightness};

/// Frames of each kind, unless the caller wants others.
pub const FRAMES: u16 = 64;
/// Fewer tell the sensor from noise too badly; more add nothing.
const ALLOWED_FRAMES: std::ops::RangeInclusive<u16> = 8..=512;
/// Frames thrown away first: sensors settle.
const WARM_UP: u16 = 8;
/// How bright the flat surface must be, as a share of white.
const BRIGHT: std::ops::RangeInclusive<f32> = 0.45..=0.55;
/// How often the exposure is corrected before giving up.
const METERINGS: u16 = 8;
/// How much one frame's brightness may differ from the first's.
const STEADY: f32 = 0.02;
/// How many samples may be full.
const CLIPPED: f32 = 0.001;
/// How dark a capped lens must be, as a share of white.
const CAPPED: f32 = 0.02;
/// How much the temperature may change during a calibration, in degrees.
const WARMING: f32 = 3.0;
const SHORTEST_US: u32 = 50;
const LONGEST_US: u32 = 1_000_000;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The camera does not deliver.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A parameter is wrong.
    #[error("{0}")]
    Input(String),
    /// What is before the lens is not what it should be.
    #[error("{0}")]
    Subject(String),
    /// The sensor's temperature changed too much.
    #[error(
        "the sensor went from {from:.1} to {to:.1} °C: let it reach its temperature and begin again"
    )]
    Warming {
        /// At the beginning.
        from: f32,
        /// Now.
        to: f32,
    },
    /// The caller hung up.
    #[error("the calibration was abandoned")]
    Abandoned,
    /// There is a map already.
    #[error("{path} exists: this camera was calibrated; move the file away to calibrate it anew", path = path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The map cannot be written.
    #[error("the map cannot be written: {0}")]
    Disk(#[from] std::io::Error),
    /// The measurement makes no map.
    #[error(transparent)]
    Map(#[from] NucError),
    /// No nonce could be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// A step of the calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Frames of an evenly lit surface.
    Flat,
    /// Frames with the cap on.
    Dark,
    /// The map.
    Finish,
}

impl Step {
    /// The step of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "flat" => Some(Self::Flat),
            "dark" => Some(Self::Dark),
            "finish" => Some(Self::Finish),
            _ => None,
        }
    }
}

/// What was measured, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The map's file.
    pub map: PathBuf,
    /// The report's picture.
    pub plot: PathBuf,
    /// SHA-256 of the map's file, in hexadecimal.
    pub nuc_hash: String,
    /// Deviation of the pixels' sensitivities.
    pub gain_deviation: f64,
    /// Deviation of the dark levels, in counts.
    pub dark_deviation: f64,
    /// How much of the gain is the sensor and not noise.
    pub gain_repeatability: f64,
    /// How much of the dark level is the sensor and not noise.
    pub dark_repeatability: f64,
    /// Pixels that say nothing.
    pub defective: usize,
}

/// One kind of frames, measured.
struct Series {
    means: Means,
    exposure: Exposure,
    order: CfaOrder,
}

/// The steps done so far.
#[derive(Default)]
pub struct Bench {
    done: Mutex<(Option<Series>, Option<Series>)>,
}

/// Hears how many frames are done; says whether anybody still listens.
pub type Listener<'a> = &'a mut dyn FnMut(u16) -> bool;

impl Bench {
    /// Measures the evenly lit surface.
    pub fn flat(
        &self,
        source: &mut dyn RawSource,
        frames: u16,
        listener: Listener<'_>,
    ) -> Result<(), CalibrationError> {
        check_frames(frames)?;
        source.before_the_lens(Subject::Diffuser);
        let fixed = meter(source)?;
        let series = record(source, fixed, frames, listener, check_flat)?;
        *self.done() = (Some(series), None);
        Ok(())
    }

    /// Measures darkness, at the exposure of the surface.
    pub fn dark(
        &self,
        source: &mut dyn RawSource,
        frames: u16,
        listener: Listener<'_>,
    ) -> Result<(), CalibrationError> {
        check_frames(frames)?;
        let flat = self.done().0.as_ref().map(|flat| flat.exposure.clone());
        let flat = flat
            .ok_or_else(|| CalibrationError::Input("measure the flat surface first".to_owned()))?;
        source.before_the_lens(Subject::Cap);
        let fixed = FixedExposure {
            exposure_us: flat.exposure_us,
            analogue_gain: flat.analogue_gain,
        };
        let series = record(source, fixed, frames, listener, check_dark)?;
        check_temperature(flat.sensor_temperature, series.exposure.sensor_temperature)?;
        self.done().1 = Some(series);
        Ok(())
    }

    /// Computes the map and writes it into `folder`.
    pub fn finish(&self, folder: &Path, now: Timestamp) -> Result<Report, CalibrationError> {
        let (map_path, plot) = (folder.join("sensor.bmnuc"), folder.join("sensor.png"));
        if map_path.exists() {
            return Err(CalibrationError::Exists { path: map_path });
        }
        let done = self.done();
        let (Some(flat), Some(dark)) = (&done.0, &done.1) else {
            return Err(CalibrationError::Input(
                "measure the flat surface and darkness first".to_owned(),
            ));
        };
        let measured = map::measure(&dark.means, &flat.means);
        let header = header(flat, dark, now)?;
        let title = format!("{} {} us", header.sensor, header.exposure_us);
        let picture = plot::report(
            &measured.dark,
            &measured.gain,
            flat.means.width,
            &measured.quality,
            &title,
        );
        let bytes = NucMap::new(header, measured.dark, measured.gain)?.encode();
        durable::make_folder(folder)?;
        durable::replace(&plot, &picture, durable::SHARED)?;
        // If we stop here, there is a report without a map; the next attempt writes both.
        durable::replace(&map_path, &bytes, durable::PRIVATE)?;
        let quality = measured.quality;
        Ok(Report {
            map: map_path,
            plot,
            nuc_hash: hex::encode(nuc_hash(&bytes).expose()),
            gain_deviation: quality.gain_deviation,
            dark_deviation: quality.dark_deviation,
            gain_repeatability: quality.gain_repeatability,
            dark_repeatability: quality.dark_repeatability,
            defective: quality.defective,
        })
    }

    fn done(&self) -> std::sync::MutexGuard<'_, (Option<Series>, Option<Series>)> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bench shared by everybody who may calibrate.
pub type SharedBench = Arc<Bench>;

fn check_frames(frames: u16) -> Result<(), CalibrationError> {
    if ALLOWED_FRAMES.contains(&frames) {
        return Ok(());
    }
    let (least, most) = (ALLOWED_FRAMES.start(), ALLOWED_FRAMES.end());
    Err(CalibrationError::Input(format!(
        "between {least} and {most} frames, not {frames}"
    )))
}

/// Finds the exposure at which the surface is half white.
fn meter(source: &mut dyn RawSource) -> Result<FixedExposure, CalibrationError> {
    let mut fixed = FixedExposure {
        exposure_us: 10_000,
        analogue_gain: 1.0,
    };
    let mut share = 0.0;
    for _ in 0..METERINGS {
        source.fix_exposure(Some(fixed))?;
        let shot = source.capture()?;
        share = brightness(&shot.frame, shot.exposure.black_level).share;
        if BRIGHT.contains(&share) {
            return Ok(fixed);
        }
        // A full frame says only "less"; a black one only "more".
        let factor = (0.5 / share.max(0.01)).clamp(0.25, 8.0);
        let wanted = fixed.exposure_us as f32 * if share > 0.95 { 0.25 } else { factor };
        fixed.exposure_us = (wanted as u32).clamp(SHORTEST_US, LONGEST_US);
    }
    let problem = if share < *BRIGHT.start() {
        "too dark"
    } else {
        "too bright"
    };
    Err(CalibrationError::Subject(format!(
        "the surface is {problem}: at {} µs it has {:.0} % of white",
        fixed.exposure_us,
        share * 100.0
    )))
}

/// Adds up frames at a fixed exposure; the camera exposes by itself again afterwards, whatever happened.
fn record(
    source: &mut dyn RawSource,
    fixed: FixedExposure,
    frames: u16,
    listener: Listener<'_>,
    check: fn(&frames::Brightness, &frames::Brightness) -> Result<(), CalibrationError>,
) -> Result<Series, CalibrationError> {
    source.fix_exposure(Some(fixed))?;
    let outcome = add_up(source, frames, listener, check);
    source.fix_exposure(None)?;
    source.before_the_lens(Subject::Scene);
    outcome
}

fn add_up(
    source: &mut dyn RawSource,
    frames: u16,
    listener: Listener<'_>,
    check: fn(&frames::Brightness, &frames::Brightness) -> Result<(), CalibrationError>,
) -> Result<Series, CalibrationError> {
    for _ in 0..WARM_UP {
        source.capture()?;
    }
    let first = source.capture()?;
    let (width, height, order) = (
        first.frame.width(),
        first.frame.height(),
        first.frame.order(),
    );
    let begin = brightness(&first.frame, first.exposure.black_level);
    let mut sums = Sums::new(width, height);
    let mut shot = first.clone();
    for number in 1..=frames {
        if (shot.frame.width(), shot.frame.height(), shot.frame.order()) != (width, height, order) {
            return Err(CalibrationError::Subject(
                "the camera changed its format in between".to_owned(),
            ));
        }
        check(&begin, &brightness(&shot.frame, shot.exposure.black_level))?;
        check_temperature(
            first.exposure.sensor_temperature,
            shot.exposure.sensor_temperature,
        )?;
        sums.add(&shot.frame);
        if !listener(number) {
            return Err(CalibrationError::Abandoned);
        }
        if number < frames {
            shot = source.capture()?;
        }
    }
    Ok(Series {
        means: sums.means(),
        exposure: first.exposure,
        order,
    })
}

fn check_flat(
    first: &frames::Brightness,
    now: &frames::Brightness,
) -> Result<(), CalibrationError> {
    if now.clipped > CLIPPED {
        return Err(CalibrationError::Subject(format!(
            "{:.1} % of the samples are full: the surface is not evenly lit",
            now.clipped * 100.0
        )));
    }
    if (now.share - first.share).abs() > STEADY * first.share {
        return Err(CalibrationError::Subject(
            "the light is not steady".to_owned(),
        ));
    }
    Ok(())
}

fn check_dark(_: &frames::Brightness, now: &frames::Brightness) -> Result<(), CalibrationError> {
    if now.share > CAPPED {
        return Err(CalibrationError::Subject(
            "light comes in: put the cap on".to_owned(),
        ));
    }
    Ok(())
}

fn check_temperature(from: Option<f32>, to: Option<f32>) -> Result<(), CalibrationError> {
    match (from, to) {
        (Some(from), Some(to)) if (from - to).abs() > WARMING => {
            Err(CalibrationError::Warming { from, to })
        }
        _ => Ok(()),
    }
}

fn header(flat: &Series, dark: &Series, now: Timestamp) -> Result<NucHeader, CalibrationError> {
    let side = |side: usize| u16::try_from(side).unwrap_or(u16::MAX);
    let sensor: String = flat
        .exposure
        .model
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .take(32)
        .collect();
    Ok(NucHeader {
        width: side(flat.means.width),
        height: side(flat.means.height()),
        filter: match flat.order {
            CfaOrder::Rggb => ColourFilter::Rggb,
            CfaOrder::Grbg => ColourFilter::Grbg,
            CfaOrder::Gbrg => ColourFilter::Gbrg,
            CfaOrder::Bggr => ColourFilter::Bggr,
        },
        bit_depth: BIT_DEPTH,
        black_levels: [flat.exposure.black_level; 4],
        dark_frames: dark.means.frames,
        flat_frames: flat.means.frames,
        exposure_us: flat.exposure.exposure_us,
        gain_milli: (flat.exposure.analogue_gain * 1_000.0).round() as u32,
        // A sensor that does not say is given a temperature that cannot be.
        temperature_milli: flat
            .exposure
            .sensor_temperature
            .map_or(i32::MIN, |t| (t * 1_000.0).round() as i32),
        time: now,
        sensor: if sensor.is_empty() {
            "unknown".to_owned()
        } else {
            sensor
        },
        nonce: chance::bytes()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::simulated::Simulated;

    fn camera() -> Simulated {
        Simulated::with_size(5, 0, 96, 64)
    }

    #[test]
    fn a_calibration_ends_with_a_map_that_is_never_overwritten() {
        let (bench, folder) = (Bench::default(), tempfile::tempdir().unwrap());
        let mut camera = camera();
        let mut seen = Vec::new();
        bench
            .flat(&mut camera, 8, &mut |done| {
                seen.push(done);
                true
            })
            .unwrap();
        bench.dark(&mut camera, 8, &mut |_| true).unwrap();
        assert_eq!(seen, (1..=8).collect::<Vec<u16>>());
        let report = bench
            .finish(folder.path(), Timestamp::from_unix(9))
            .unwrap();
        let bytes = std::fs::read(&report.map).unwrap();
        let map = NucMap::decode(&bytes).unwrap();
        assert_eq!(
            (
                map.header().width,
                map.header().dark_frames,
                map.header().time.unix()
            ),
            (96, 8, 9)
        );
        assert_eq!(hex::encode(nuc_hash(&bytes).expose()), report.nuc_hash);
        assert!(report.plot.exists());
        assert!(matches!(
            bench.finish(folder.path(), Timestamp::from_unix(9)),
            Err(CalibrationError::Exists { .. })
        ));
        let shot = camera.capture().unwrap();
        assert!(
            shot.exposure.exposure_us != map.header().exposure_us
                || brightness(&shot.frame, 256).share < 0.45,
            "the camera exposes by itself again"
        );
    }

    #[test]
    fn steps_out_of_order_and_odd_numbers_are_refused() {
        let (bench, folder) = (Bench::default(), tempfile::tempdir().unwrap());
        let mut camera = camera();
        assert!(
            bench
                .dark(&mut camera, 8, &mut |_| true)
                .unwrap_err()
                .to_string()
                .contains("flat surface first")
        );
        assert!(
            bench
                .finish(folder.path(), Timestamp::from_unix(0))
                .unwrap_err()
                .to_string()
                .contains("first")
        );
        assert!(
            bench
                .flat(&mut camera, 2, &mut |_| true)
                .unwrap_err()
                .to_string()
                .contains("not 2")
        );
        assert!(matches!(
            bench.flat(&mut camera, 8, &mut |_| false),
            Err(CalibrationError::Abandoned)
        ));
    }

    /// A photographer who forgets to change what is before the lens.
    struct Forgetful(Simulated, Subject);

    impl RawSource for Forgetful {
        fn name(&self) -> &str {
            "forgetful"
        }

        fn capture(&mut self) -> Result<crate::source::Shot, SourceError> {
            self.0.capture()
        }

        fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
            self.0.fix_exposure(fixed)
        }

        fn before_the_lens(&mut self, _: Subject) {
            self.0.before_the_lens(self.1);
        }
    }

    #[test]
    fn a_cap_that_is_on_or_off_at_the_wrong_time_is_noticed() {
        let bench = Bench::default();
        let capped = bench
            .flat(&mut Forgetful(camera(), Subject::Cap), 8, &mut |_| true)
            .unwrap_err();
        assert!(capped.to_string().contains("too dark"), "{capped}");
        bench.flat(&mut camera(), 8, &mut |_| true).unwrap();
        let open = bench
            .dark(&mut Forgetful(camera(), Subject::Diffuser), 8, &mut |_| {
                true
            })
            .unwrap_err();
        assert!(open.to_string().contains("put the cap on"), "{open}");
    }

    #[test]
    fn a_sensor_that_warms_up_is_noticed() {
        assert!(check_temperature(Some(30.0), Some(33.5)).is_err());
        assert!(check_temperature(Some(30.0), Some(32.9)).is_ok());
        assert!(check_temperature(None, Some(32.9)).is_ok());
    }
}
