//! A camera of libcamera as one of the daemon's sources.

use std::time::Duration;

use birthmark_sensor::{Exposure, FixedExposure, Layout, Matrix, Picture, RawFrame, RawSource, Shot, SourceError, clock};

use crate::camera::{Camera, CameraError, Frame, Still};

/// What the IMX477 says of itself, for cameras that do not.
const BLACK_LEVEL: u16 = 4_096;
const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Opens the camera with this id, or the first one.
pub fn open(id: Option<&str>) -> Result<Box<dyn RawSource>, SourceError> {
    let camera = Camera::open(id).map_err(told)?;
    let name = format!("libcamera {}", camera.name());
    Ok(Box::new(Sensor { camera, name }))
}

struct Sensor {
    camera: Camera,
    name: String,
}

impl RawSource for Sensor {
    fn name(&self) -> &str {
        &self.name
    }

    fn capture(&mut self) -> Result<Shot, SourceError> {
        let frame = self.camera.frame().map_err(told)?;
        let exposure = exposure(&frame, self.camera.name());
        let still = frame.still.clone().map(picture);
        Ok(Shot {
            frame: raw(frame)?,
            exposure,
            still,
        })
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        let fixed = fixed.map(|fixed| (fixed.exposure_us, fixed.analogue_gain));
        self.camera.fix_exposure(fixed).map_err(told)
    }
}

fn raw(frame: Frame) -> Result<RawFrame, SourceError> {
    let unknown = || SourceError::Format(String::from_utf8_lossy(&frame.fourcc).into_owned());
    let layout = Layout::named(frame.fourcc).ok_or_else(unknown)?;
    Ok(layout.frame((frame.width, frame.height), frame.stride, frame.raw)?)
}

fn picture(still: Still) -> Picture {
    Picture {
        width: still.width as usize,
        height: still.height as usize,
        rgb: still.rgb,
    }
}

/// The exposure is dated by the sensor's own clock, not by when we heard of it. A frame that
/// carries no age was just delivered. What the camera does not tell is what leaves the samples as
/// they are.
fn exposure(frame: &Frame, model: &str) -> Exposure {
    Exposure {
        moment: clock::before_now(frame.age.unwrap_or(Duration::ZERO)),
        exposure_us: frame.exposure_us.unwrap_or(0),
        analogue_gain: frame.analogue_gain.unwrap_or(1.0),
        colour_gains: frame.colour_gains.unwrap_or([1.0, 1.0]),
        colour_matrix: frame.colour_matrix.unwrap_or(IDENTITY),
        colour_temperature: frame.colour_temperature,
        // libcamera scales black levels to 16 bits; our samples have 12.
        black_level: frame.black_level.unwrap_or(BLACK_LEVEL) / 16,
        sensor_temperature: frame.temperature,
        make: "Raspberry Pi".to_owned(),
        model: model.to_owned(),
    }
}

fn told(error: CameraError) -> SourceError {
    match error {
        CameraError::Late => SourceError::Timeout(5),
        CameraError::Format(reason) => SourceError::Format(reason),
        error => SourceError::Device(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Two rows of four samples, 12 bits each, six bytes a row and two of padding.
    fn frame(fourcc: [u8; 4], raw: Vec<u8>, stride: usize) -> Frame {
        Frame {
            raw,
            width: 4,
            height: 2,
            stride,
            fourcc,
            still: None,
            age: None,
            exposure_us: None,
            analogue_gain: None,
            colour_gains: None,
            colour_matrix: None,
            colour_temperature: None,
            black_level: None,
            temperature: None,
        }
    }

    #[test]
    fn padding_and_packing_do_not_change_the_digest() {
        let samples = [0x123_u16, 0x456, 0x789, 0xabc, 0xdef, 0x012, 0x345, 0x678];
        let mut packed = Vec::new();
        let mut unpacked = Vec::new();
        for row in samples.chunks(4) {
            for pair in row.chunks(2) {
                packed.extend([(pair[0] >> 4) as u8, (pair[1] >> 4) as u8]);
                packed.push((pair[0] & 15) as u8 | ((pair[1] & 15) << 4) as u8);
            }
            packed.extend([0xee, 0xee]);
            unpacked.extend(row.iter().flat_map(|sample| sample.to_le_bytes()));
            unpacked.extend([0xee; 8]);
        }
        let packed = raw(frame(*b"pRCC", packed, 8)).unwrap();
        let unpacked = raw(frame(*b"RG12", unpacked, 16)).unwrap();
        assert_eq!(packed.digest(), unpacked.digest());
        assert!(format!("{packed:?}").contains("Rggb"));
    }

    #[test]
    fn another_layout_is_refused_by_its_name() {
        let refused = raw(frame(*b"NV12", vec![0; 16], 8)).unwrap_err();
        assert!(refused.to_string().contains("NV12"), "{refused}");
    }

    #[test]
    fn what_the_sensor_does_not_tell_is_what_the_imx477_says() {
        let exposure = exposure(&frame(*b"RG12", Vec::new(), 8), "imx477");
        assert_eq!((exposure.black_level, exposure.model.as_str()), (256, "imx477"));
    }

    #[test]
    fn every_trouble_is_a_sentence_for_the_photographer() {
        let absent = told(CameraError::Missing(String::new()));
        assert_eq!(
            absent.to_string(),
            "the camera does not deliver: there is no camera"
        );
    }
}
