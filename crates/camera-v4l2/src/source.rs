//! Any video device that delivers 12-bit Bayer samples, packed or not, as one of the daemon's
//! sources.
//!
//! Such devices say nothing about light and colour: the picture is developed neutrally, and the raw
//! digest is what matters.

use std::path::Path;
use std::time::Duration;

use birthmark_sensor::{
    Exposure, FixedExposure, Layout, Moment, RawFrame, RawSource, Shot, SourceError, clock,
};

use crate::device::{Device, DeviceError, Frame};

/// As much as the largest sensor we know; drivers give what they have.
const LARGEST: (u32, u32) = (4056, 3040);
/// How long a device may take for one frame.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A video device.
#[derive(Debug)]
pub struct Video {
    name: String,
    device: Device,
    layout: Layout,
}

impl Video {
    /// Opens the device and starts it.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let wanted = Layout::ALL.map(|layout| layout.fourcc);
        let device = Device::open(path, LARGEST.0, LARGEST.1, &wanted)?;
        let format = device.format();
        let layout = Layout::named(format.fourcc)
            .ok_or_else(|| SourceError::Format(path.display().to_string()))?;
        let name = format!(
            "{} {} {}x{}",
            path.display(),
            String::from_utf8_lossy(&format.fourcc),
            format.width,
            format.height
        );
        Ok(Self {
            name,
            device,
            layout,
        })
    }

    fn frame(&self, frame: Frame) -> Result<RawFrame, SourceError> {
        let format = self.device.format();
        let size = (format.width, format.height);
        Ok(self
            .layout
            .frame(size, format.stride as usize, frame.bytes)?)
    }
}

/// A driver that dates no frame is read after every buffer has been round, so the frame is new.
fn moment(age: Option<Duration>) -> Moment {
    clock::before_now(age.unwrap_or(Duration::ZERO))
}

impl RawSource for Video {
    fn name(&self) -> &str {
        &self.name
    }

    fn capture(&mut self) -> Result<Shot, SourceError> {
        let frame = self.device.frame(TIMEOUT)?;
        let exposure = Exposure {
            moment: moment(frame.age),
            exposure_us: 0,
            analogue_gain: 1.0,
            colour_gains: [1.0, 1.0],
            colour_matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            colour_temperature: None,
            black_level: 0,
            sensor_temperature: None,
            make: "V4L2".to_owned(),
            model: self.name.clone(),
        };
        Ok(Shot {
            frame: self.frame(frame)?,
            exposure,
            still: None,
        })
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        match fixed {
            None => Ok(()),
            Some(_) => Err(SourceError::Device(
                "exposure of V4L2 devices is not controlled".to_owned(),
            )),
        }
    }
}

impl From<DeviceError> for SourceError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Late(_) => Self::Timeout(TIMEOUT.as_secs()),
            DeviceError::NoFormat { .. } => Self::Format(error.to_string()),
            error => Self::Device(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_gone_late_or_strange_is_a_sentence_for_the_photographer() {
        let gone = Video::open(Path::new("/dev/no-such-video")).unwrap_err();
        assert!(
            gone.to_string()
                .starts_with("the camera does not deliver: /dev/no-such-video: opening")
        );
        let other = Video::open(Path::new("/dev/null")).unwrap_err();
        assert!(
            other.to_string().contains("no video capture device"),
            "{other}"
        );
        let strange = DeviceError::NoFormat {
            path: "/dev/video0".into(),
            wanted: "RG12".to_owned(),
        };
        let strange = SourceError::from(strange);
        assert!(matches!(&strange, SourceError::Format(_)), "{strange}");
    }

    #[test]
    fn a_frame_is_dated_by_its_driver_and_a_driver_that_dates_none_means_now() {
        let now = moment(None).unix_ns;
        let old = moment(Some(Duration::from_secs(3))).unix_ns;
        assert!(
            (2_500_000_000..4_500_000_000).contains(&(now - old)),
            "{}",
            now - old
        );
    }
}
