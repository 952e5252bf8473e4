//! A camera of libcamera as one of the daemon's sources.

use birthmark_camera_libcamera::{Camera, CameraError, Frame, Still};
use birthmark_capture::clock;
use birthmark_capture::develop::Picture;
use birthmark_capture::exposure::{Exposure, Moment};
use birthmark_capture::frame::{CfaOrder, RawFrame};
use birthmark_capture::source::{FixedExposure, RawSource, Shot, SourceError};

/// The layouts of 12-bit samples, packed and unpacked, by the letters V4L2 and libcamera share.
const LAYOUTS: [([u8; 4], CfaOrder, bool); 8] = [
    (*b"pRCC", CfaOrder::Rggb, true),
    (*b"pBCC", CfaOrder::Bggr, true),
    (*b"pgCC", CfaOrder::Grbg, true),
    (*b"pGCC", CfaOrder::Gbrg, true),
    (*b"RG12", CfaOrder::Rggb, false),
    (*b"BG12", CfaOrder::Bggr, false),
    (*b"BA12", CfaOrder::Grbg, false),
    (*b"GB12", CfaOrder::Gbrg, false),
];
/// What the IMX477 says of itself, for cameras that do not.
const BLACK_LEVEL: u16 = 4_096;
const IDENTITY: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Opens the camera with this id, or the first one.
pub(crate) fn open(id: Option<&str>) -> Result<Box<dyn RawSource>, SourceError> {
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
    let layout = LAYOUTS.iter().find(|(fourcc, ..)| *fourcc == frame.fourcc);
    let unknown = || SourceError::Format(String::from_utf8_lossy(&frame.fourcc).into_owned());
    let (_, order, packed) = layout.ok_or_else(unknown)?;
    Ok(match packed {
        true => RawFrame::from_packed(frame.width, frame.height, frame.stride, *order, frame.raw)?,
        false => {
            RawFrame::from_unpacked(frame.width, frame.height, frame.stride, *order, &frame.raw)?
        }
    })
}

fn picture(still: Still) -> Picture {
    Picture {
        width: still.width as usize,
        height: still.height as usize,
        rgb: still.rgb,
    }
}

/// The exposure is dated by the sensor's own clock, not by when we heard of it.
fn exposure(frame: &Frame, model: &str) -> Exposure {
    let age = i64::try_from(frame.age.unwrap_or_default().as_nanos()).unwrap_or(0);
    let unix_ns = clock::now_ns().saturating_sub(age);
    Exposure {
        moment: Moment {
            unix_ns,
            clock: clock::quality(unix_ns),
        },
        exposure_us: frame.exposure_us.unwrap_or(0),
        analogue_gain: frame.analogue_gain.unwrap_or(1.0),
        colour_gains: frame.colour_gains.unwrap_or([1.0, 1.0]),
        colour_matrix: frame.colour_matrix.unwrap_or(IDENTITY),
        colour_temperature: frame.colour_temperature,
        // Told for 16 bits; ours are 12.
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
        let told = exposure(&frame(*b"RG12", Vec::new(), 8), "imx477");
        assert_eq!((told.black_level, told.model.as_str()), (256, "imx477"));
    }

    #[test]
    fn every_trouble_is_a_sentence_for_the_photographer() {
        let absent = super::told(CameraError::Missing(String::new()));
        assert_eq!(
            absent.to_string(),
            "the camera does not deliver: there is no camera"
        );
    }
}
