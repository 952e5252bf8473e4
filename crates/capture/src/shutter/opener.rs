//! How the configured camera is opened.
//!
//! A source that this program was built without is an error at every photo, named in the status.
//! Those of rehearsals never come this far: a program built without them refuses the settings.

use std::path::Path;

use birthmark_sensor::{RawSource, SourceError};

use crate::settings::Source;
use crate::shutter::camera::Opener;

/// Opens a camera of libcamera: the one with this id, or the first.
pub type OpenLibcamera = fn(Option<&str>) -> Result<Box<dyn RawSource>, SourceError>;

/// What opens the camera, now and after it was unplugged.
pub(crate) fn opener(source: Source, libcamera: OpenLibcamera) -> Opener {
    Box::new(move || match &source {
        Source::V4l2 { device } => open_v4l2(device),
        Source::Libcamera { camera } => libcamera(camera.as_deref()),
        #[cfg(feature = "rehearsal")]
        Source::Simulated {
            sensor,
            width,
            height,
        } => Ok(simulated(*sensor, *width, *height)),
        #[cfg(feature = "rehearsal")]
        Source::Dng { folder } => Ok(Box::new(crate::shutter::replay::Replay::open(folder)?)),
        #[cfg(not(feature = "rehearsal"))]
        Source::Simulated { .. } | Source::Dng { .. } => Err(SourceError::Device(
            crate::settings::NO_REHEARSAL.to_owned(),
        )),
    })
}

#[cfg(feature = "rehearsal")]
fn simulated(sensor: u64, width: Option<u32>, height: Option<u32>) -> Box<dyn RawSource> {
    use birthmark_camera_simulated::{HEIGHT, Simulated, WIDTH};

    // Without a size, that of the sensor that is imitated.
    let (width, height) = (width.unwrap_or(WIDTH), height.unwrap_or(HEIGHT));
    // Each start paints other pictures than the one before.
    let first_shot = birthmark_sensor::clock::now_ns().unsigned_abs();
    Box::new(Simulated::with_size(sensor, first_shot, width, height))
}

#[cfg(feature = "v4l2")]
fn open_v4l2(device: &Path) -> Result<Box<dyn RawSource>, SourceError> {
    Ok(Box::new(birthmark_camera_v4l2::Video::open(device)?))
}

#[cfg(not(feature = "v4l2"))]
fn open_v4l2(_: &Path) -> Result<Box<dyn RawSource>, SourceError> {
    Err(SourceError::Device(
        "this program was built without V4L2".to_owned(),
    ))
}

/// A program without libcamera says so, at every photo and in the status.
pub fn no_libcamera(_: Option<&str>) -> Result<Box<dyn RawSource>, SourceError> {
    Err(SourceError::Device(
        "this program was built without libcamera".to_owned(),
    ))
}
