//! The trait that every camera implements, and what it delivers.

use crate::exposure::Exposure;
use crate::frame::{FrameError, RawFrame};
use crate::picture::Picture;

/// A frame and what is known about it.
#[derive(Debug, Clone)]
pub struct Shot {
    /// The samples.
    pub frame: RawFrame,
    /// The circumstances.
    pub exposure: Exposure,
    /// What the camera's own processor made of the same instant, if it has one; else the frame is
    /// developed here.
    pub still: Option<Picture>,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What arrived is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The device is gone or refuses.
    #[error("the camera does not deliver: {0}")]
    Device(String),
    /// The device delivers something we do not understand.
    #[error("the camera offers no 12-bit raw stream: {0}")]
    Format(String),
    /// Nothing came in time.
    #[error("the camera delivered no frame within {0} seconds")]
    Timeout(u64),
    /// It is being measured.
    #[error(
        "the camera is being calibrated and takes no photos meanwhile: wait until that has ended, or stop `birthmark calibrate` where it runs"
    )]
    Calibrating,
}

/// Exposure settings that stay put, for calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedExposure {
    /// Microseconds of light per frame.
    pub exposure_us: u32,
    /// Amplification; calibration uses 1.
    pub analogue_gain: f32,
}

/// What lies before the lens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Whatever there is to photograph.
    Scene,
    /// The lens cap.
    Cap,
    /// An evenly lit white surface.
    Diffuser,
}

/// A camera that delivers one raw frame at a time.
///
/// It is opened on a thread of its own and never leaves it.
pub trait RawSource {
    /// What it is, for people and for the journal.
    fn name(&self) -> &str;

    /// Exposes one frame now.
    fn capture(&mut self) -> Result<Shot, SourceError>;

    /// Turns automatic exposure off (`Some`) or on again (`None`).
    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError>;

    /// Tells what the photographer put before the lens. A real camera sees that for itself.
    fn before_the_lens(&mut self, _subject: Subject) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CfaOrder;

    /// A source that implements only what it must.
    struct Plain;

    impl RawSource for Plain {
        fn name(&self) -> &str {
            "plain"
        }

        fn capture(&mut self) -> Result<Shot, SourceError> {
            Err(RawFrame::from_samples(3, 2, CfaOrder::Rggb, &[0; 6])
                .unwrap_err()
                .into())
        }

        fn fix_exposure(&mut self, _: Option<FixedExposure>) -> Result<(), SourceError> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_that_is_none_is_told_with_its_numbers_and_a_real_camera_needs_no_hint() {
        let mut source: Box<dyn RawSource> = Box::new(Plain);
        // A sensor sees the cap by itself.
        source.before_the_lens(Subject::Cap);
        let refused = source.capture().unwrap_err();
        assert!(
            refused.to_string().starts_with("a frame of 3x2 samples"),
            "{refused}"
        );
    }

    #[test]
    fn every_trouble_is_a_sentence_about_the_camera() {
        for (error, sentence) in [
            (
                SourceError::Device("gone".to_owned()),
                "the camera does not deliver: gone",
            ),
            (
                SourceError::Format("RG10".to_owned()),
                "the camera offers no 12-bit raw stream: RG10",
            ),
            (
                SourceError::Timeout(5),
                "the camera delivered no frame within 5 seconds",
            ),
        ] {
            assert_eq!(error.to_string(), sentence);
        }
        let busy = SourceError::Calibrating.to_string();
        assert!(busy.contains("calibrated") && busy.contains("stop `birthmark calibrate`"));
    }
}
