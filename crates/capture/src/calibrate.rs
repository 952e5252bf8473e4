//! Measuring the sensor, once: what every pixel does differently from its neighbours.
//!
//! Three steps, because a person has to change what is before the lens in between: `flat` with an
//! evenly lit white surface, which also finds the exposure; `dark` with the cap on, at the same
//! exposure; `finish`, which computes the map, writes it with its report and tells its hash. Steps
//! are kept in memory until then.
//!
//! A map is never overwritten: a camera that was provisioned with it could not prove so any more,
//! and measuring again never gives the same hash.

mod error;
mod frames;
mod map;
mod plot;
mod series;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use birthmark_daemon::{durable, random};
use birthmark_protocol::Timestamp;
use birthmark_protocol::nuc::{ColourFilter, NucHeader, NucMap, nuc_hash};
use birthmark_sensor::{BIT_DEPTH, CfaOrder, FixedExposure, RawSource, Subject};
use series::{
    Series, borrowed, check_dark, check_flat, check_frames, check_temperature, meter, record,
};

pub use error::CalibrationError;
pub use series::Listener;

/// Frames of each kind, unless the caller wants others.
pub const FRAMES: u16 = 64;

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

/// The steps done so far.
#[derive(Default)]
pub struct Bench {
    done: Mutex<(Option<Series>, Option<Series>)>,
}

impl Bench {
    /// Measures the evenly lit surface.
    pub fn flat(
        &self,
        source: &mut dyn RawSource,
        frames: u16,
        listener: Listener<'_>,
    ) -> Result<(), CalibrationError> {
        check_frames(frames)?;
        let series = borrowed(source, Subject::Diffuser, |source| {
            let fixed = meter(source)?;
            record(source, fixed, frames, listener, check_flat)
        })?;
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
        let fixed = FixedExposure {
            exposure_us: flat.exposure_us,
            analogue_gain: flat.analogue_gain,
        };
        let series = borrowed(source, Subject::Cap, |source| {
            record(source, fixed, frames, listener, check_dark)
        })?;
        check_temperature(flat.sensor_temperature, series.exposure.sensor_temperature)?;
        self.done().1 = Some(series);
        Ok(())
    }

    /// Computes the map and writes it into `folder`.
    pub fn finish(&self, folder: &Path, now: Timestamp) -> Result<Report, CalibrationError> {
        let map_path = free_map_path(folder)?;
        let plot = folder.join("sensor.svg");
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
        durable::replace(&plot, picture.as_bytes(), durable::SHARED)?;
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

/// Where the map belongs. A camera that was calibrated keeps its map, and people hear that before
/// they look for a lamp.
pub fn free_map_path(folder: &Path) -> Result<PathBuf, CalibrationError> {
    let path = folder.join("sensor.bmnuc");
    if path.exists() {
        return Err(CalibrationError::Exists { path });
    }
    Ok(path)
}

/// The bench, shared by all connections.
pub type SharedBench = Arc<Bench>;

fn header(flat: &Series, dark: &Series, now: Timestamp) -> Result<NucHeader, CalibrationError> {
    let narrow = |number: usize, what| {
        u16::try_from(number)
            .map_err(|_| CalibrationError::Input(format!("{number} {what} do not fit a map")))
    };
    let sensor: String = flat
        .exposure
        .model
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .take(32)
        .collect();
    Ok(NucHeader {
        width: narrow(flat.means.width, "columns")?,
        height: narrow(flat.means.height(), "rows")?,
        filter: match flat.order {
            CfaOrder::Rggb => ColourFilter::Rggb,
            CfaOrder::Grbg => ColourFilter::Grbg,
            CfaOrder::Gbrg => ColourFilter::Gbrg,
            CfaOrder::Bggr => ColourFilter::Bggr,
        },
        bit_depth: BIT_DEPTH,
        black_levels: [flat.exposure.black_level; 4],
        dark_frames: narrow(dark.means.frames as usize, "frames")?,
        flat_frames: narrow(flat.means.frames as usize, "frames")?,
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
        nonce: random::bytes()?,
    })
}

#[cfg(test)]
mod tests;
