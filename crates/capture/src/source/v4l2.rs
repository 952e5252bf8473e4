//! Any video device that delivers 12-bit Bayer samples, packed or not.
//!
//! Such devices say nothing about light and colour: the picture is developed neutrally, the raw digest is what matters.

use std::path::Path;
use std::time::Duration;

use birthmark_camera_v4l2::{Device, DeviceError, Frame};

use super::{FixedExposure, RawSource, Shot, SourceError};
use crate::clock;
use crate::exposure::{Exposure, Moment};
use crate::frame::{CfaOrder, RawFrame};

/// The layouts we read: packed ones first, they are canonical already.
const FORMATS: [([u8; 4], CfaOrder); 8] = [
    (*b"pRCC", CfaOrder::Rggb),
    (*b"pBCC", CfaOrder::Bggr),
    (*b"pgCC", CfaOrder::Grbg),
    (*b"pGCC", CfaOrder::Gbrg),
    (*b"RG12", CfaOrder::Rggb),
    (*b"BG12", CfaOrder::Bggr),
    (*b"BA12", CfaOrder::Grbg),
    (*b"GB12", CfaOrder::Gbrg),
];
/// As much as the largest sensor we know; drivers give what they have.
const LARGEST: (u32, u32) = (4056, 3040);
const PATIENCE: Duration = Duration::from_secs(5);

/// A video device.
#[derive(Debug)]
pub struct Video {
    name: String,
    device: Device,
    order: CfaOrder,
}

impl Video {
    /// Opens the device and starts it.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let wanted = FORMATS.map(|(fourcc, _)| fourcc);
        let device = Device::open(path, LARGEST.0, LARGEST.1, &wanted)?;
        let format = device.format();
        let order = FORMATS.iter().find(|(fourcc, _)| *fourcc == format.fourcc);
        let (fourcc, order) =
            order.ok_or_else(|| SourceError::Format(path.display().to_string()))?;
        let name = format!(
            "{} {} {}x{}",
            path.display(),
            String::from_utf8_lossy(fourcc),
            format.width,
            format.height
        );
        Ok(Self {
            name,
            device,
            order: *order,
        })
    }

    fn frame(&self, frame: Frame) -> Result<RawFrame, SourceError> {
        let format = self.device.format();
        let (width, height, stride) = (format.width, format.height, format.stride as usize);
        let packed = format.fourcc.first() == Some(&b'p');
        Ok(match packed {
            true => RawFrame::from_packed(width, height, stride, self.order, frame.bytes)?,
            false => RawFrame::from_unpacked(width, height, stride, self.order, &frame.bytes)?,
        })
    }
}

impl RawSource for Video {
    fn name(&self) -> &str {
        &self.name
    }

    fn capture(&mut self) -> Result<Shot, SourceError> {
        let frame = self.device.frame(PATIENCE)?;
        let age = i64::try_from(frame.age.unwrap_or_default().as_nanos()).unwrap_or(0);
        let unix_ns = clock::now_ns().saturating_sub(age);
        let exposure = Exposure {
            moment: Moment {
                unix_ns,
                clock: clock::quality(unix_ns),
            },
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
            DeviceError::Late(_) => Self::Timeout(PATIENCE.as_secs()),
            DeviceError::NoFormat { .. } => Self::Format(error.to_string()),
            error => Self::Device(error.to_string()),
        }
    }
}
