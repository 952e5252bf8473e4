//! Many frames of one kind, added up: all at one exposure, and none that does not show what it
//! should.

use birthmark_sensor::{CfaOrder, Exposure, FixedExposure, RawSource, Subject};

use super::CalibrationError;
use super::frames::{Brightness, Means, Sums, brightness};

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

/// One kind of frames, measured.
pub(super) struct Series {
    pub(super) means: Means,
    pub(super) exposure: Exposure,
    pub(super) order: CfaOrder,
}

/// Hears how many frames are done; says whether anybody still listens.
pub type Listener<'a> = &'a mut dyn FnMut(u16) -> bool;

pub(super) fn check_frames(frames: u16) -> Result<(), CalibrationError> {
    if ALLOWED_FRAMES.contains(&frames) {
        return Ok(());
    }
    let (least, most) = (ALLOWED_FRAMES.start(), ALLOWED_FRAMES.end());
    Err(CalibrationError::Input(format!(
        "between {least} and {most} frames, not {frames}"
    )))
}

/// Finds the exposure at which the surface is half white.
pub(super) fn meter(source: &mut dyn RawSource) -> Result<FixedExposure, CalibrationError> {
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

/// Measures `subject`; the camera exposes by itself again afterwards, whatever happened.
pub(super) fn borrowed<T>(
    source: &mut dyn RawSource,
    subject: Subject,
    work: impl FnOnce(&mut dyn RawSource) -> Result<T, CalibrationError>,
) -> Result<T, CalibrationError> {
    source.before_the_lens(subject);
    let outcome = work(source);
    source.before_the_lens(Subject::Scene);
    let given_back = source.fix_exposure(None);
    match outcome {
        // It is closed and opened anew, and exposes by itself then.
        Err(CalibrationError::Source(error)) => Err(error.into()),
        outcome => given_back.map_err(Into::into).and(outcome),
    }
}

/// Adds up frames at a fixed exposure.
pub(super) fn record(
    source: &mut dyn RawSource,
    fixed: FixedExposure,
    frames: u16,
    listener: Listener<'_>,
    check: fn(&Brightness, &Brightness) -> Result<(), CalibrationError>,
) -> Result<Series, CalibrationError> {
    source.fix_exposure(Some(fixed))?;
    add_up(source, frames, listener, check)
}

fn add_up(
    source: &mut dyn RawSource,
    frames: u16,
    listener: Listener<'_>,
    check: fn(&Brightness, &Brightness) -> Result<(), CalibrationError>,
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

pub(super) fn check_flat(first: &Brightness, now: &Brightness) -> Result<(), CalibrationError> {
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

pub(super) fn check_dark(_: &Brightness, now: &Brightness) -> Result<(), CalibrationError> {
    if now.share > CAPPED {
        return Err(CalibrationError::Subject(
            "light comes in: put the cap on".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn check_temperature(
    from: Option<f32>,
    to: Option<f32>,
) -> Result<(), CalibrationError> {
    match (from, to) {
        (Some(from), Some(to)) if (from - to).abs() > WARMING => {
            Err(CalibrationError::Warming { from, to })
        }
        _ => Ok(()),
    }
}
