//! From a frame to the bytes of the files and their digests. Pure computation: nothing is written
//! here.

use birthmark_protocol::image_data::{ImageDataError, image_data};
use birthmark_protocol::{
    Bundle, BundleError, Capture, Digest, DigestRole, ImageClaim, ModificationLevel,
};
use birthmark_sensor::{Picture, Shot};
use time::UtcOffset;

use crate::files::develop::{self, JpegError};
use crate::files::dng;
use crate::files::exif::{Caption, Position};
use crate::shutter::timeline::Timeline;

/// Width and height of the picture inside the files, at most.
const THUMBNAIL_SIDE: usize = 320;
const THUMBNAIL_QUALITY: u8 = 80;

/// How photos are developed.
#[derive(Debug, Clone, Copy)]
pub struct Darkroom {
    /// Quality of the JPEG, 1 to 100.
    pub quality: u8,
    /// How far local time is ahead of UTC.
    pub zone: UtcOffset,
    /// Whether there is a DNG as well.
    pub dng: bool,
}

/// A developed photo.
#[derive(Debug)]
pub struct Developed {
    /// The picture.
    pub jpeg: Vec<u8>,
    /// The frame, if wanted.
    pub dng: Option<Vec<u8>>,
    /// Digest of the sensor's bytes.
    pub raw: Digest,
    /// Digest of the JPEG.
    pub file: Digest,
    /// Digest of the JPEG without what services strip.
    pub image_data: Digest,
    /// Digest of the DNG.
    pub dng_file: Option<Digest>,
}

/// The digests of a photo, each by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Digest of the sensor's bytes.
    pub raw: Digest,
    /// Digest of the JPEG.
    pub file: Digest,
    /// Digest of the JPEG without what services strip.
    pub image_data: Digest,
    /// Digest of the DNG, if there is one.
    pub dng_file: Option<Digest>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum DarkroomError {
    /// No JPEG could be made.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// The JPEG we made is not one we understand.
    #[error("the developed picture has no image data: {0}")]
    ImageData(#[from] ImageDataError),
    /// A thread died.
    #[error("developing was interrupted")]
    Interrupted,
}

impl Darkroom {
    /// Develops `shot`; the sensor's bytes are hashed on a thread of their own meanwhile.
    pub fn develop(
        &self,
        shot: &Shot,
        position: Option<Position>,
        timeline: &Timeline,
    ) -> Result<Developed, DarkroomError> {
        std::thread::scope(|scope| {
            let raw = scope.spawn(|| timeline.measure("hash raw", || shot.frame.digest()));
            let files = self.files(shot, position, timeline)?;
            let raw = raw.join().map_err(|_| DarkroomError::Interrupted)?;
            let digests = timeline.measure("hash files", || {
                (Digest::of(&files.jpeg), image_data(&files.jpeg))
            });
            let (file, image) = digests;
            let (dng, dng_file) = files.dng.unzip();
            Ok(Developed {
                jpeg: files.jpeg,
                dng,
                raw,
                file,
                image_data: image?.digest,
                dng_file,
            })
        })
    }

    fn files(
        &self,
        shot: &Shot,
        position: Option<Position>,
        timeline: &Timeline,
    ) -> Result<Files, DarkroomError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let developed;
        let picture = match &shot.still {
            Some(still) => still,
            None => {
                developed = timeline.measure("demosaic", || {
                    develop::demosaic(&shot.frame, &shot.exposure, threads)
                });
                &developed
            }
        };
        self.encode(shot, picture, position, timeline)
    }

    fn encode(
        &self,
        shot: &Shot,
        picture: &Picture,
        position: Option<Position>,
        timeline: &Timeline,
    ) -> Result<Files, DarkroomError> {
        let small = timeline.measure("thumbnail", || develop::thumbnail(picture, THUMBNAIL_SIDE));
        let caption = |thumbnail| Caption {
            exposure: &shot.exposure,
            zone: self.zone,
            position,
            size: (picture.width as u32, picture.height as u32),
            thumbnail,
        };
        let thumbnail = develop::encode_jpeg(&small, THUMBNAIL_QUALITY, None)?;
        let block = caption(Some(thumbnail)).block();
        let plain = caption(None);
        std::thread::scope(|scope| {
            // The encoder keeps one core busy for longer than the raw file needs on another.
            let raw_file = || {
                let dng =
                    timeline.measure("write DNG", || dng::write_dng(&shot.frame, &plain, &small));
                let digest = timeline.measure("hash DNG", || Digest::of(&dng));
                (dng, digest)
            };
            let raw_file = self.dng.then(|| scope.spawn(raw_file));
            let jpeg = timeline.measure("encode JPEG", || {
                develop::encode_jpeg(picture, self.quality, Some(&block))
            })?;
            let dng = raw_file.map(|thread| thread.join().map_err(|_| DarkroomError::Interrupted));
            Ok(Files {
                jpeg,
                dng: dng.transpose()?,
            })
        })
    }
}

struct Files {
    jpeg: Vec<u8>,
    /// With its digest.
    dng: Option<(Vec<u8>, Digest)>,
}

impl Developed {
    /// The digests without the files.
    pub const fn digests(&self) -> Digests {
        Digests {
            raw: self.raw,
            file: self.file,
            image_data: self.image_data,
            dng_file: self.dng_file,
        }
    }

    /// What the camera claims about this photo: every digest comes from the source's bytes.
    pub fn bundle(
        &self,
        time: birthmark_protocol::Timestamp,
        capture: Capture,
    ) -> Result<Bundle, BundleError> {
        let claim = |digest, role, level, parent| ImageClaim {
            digest,
            role,
            level,
            parent,
        };
        let from_raw = |digest, role, level| claim(digest, role, level, Some(self.raw));
        let mut claims = vec![claim(
            self.raw,
            DigestRole::Raw,
            ModificationLevel::RAW,
            None,
        )];
        claims.extend(
            self.dng_file
                .map(|digest| from_raw(digest, DigestRole::File, ModificationLevel::RAW)),
        );
        claims.push(from_raw(
            self.file,
            DigestRole::File,
            ModificationLevel::PROCESSED,
        ));
        claims.push(from_raw(
            self.image_data,
            DigestRole::ImageData,
            ModificationLevel::PROCESSED,
        ));
        Bundle::captured(claims, time, capture)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use birthmark_camera_simulated::Simulated;
    use birthmark_protocol::Timestamp;
    use birthmark_sensor::RawSource as _;

    use super::*;

    fn developed(dng: bool) -> (Shot, Developed, Timeline) {
        let shot = Simulated::with_size(1, 0, 320, 240).capture().unwrap();
        let timeline = Timeline::starting_at(Instant::now());
        let darkroom = Darkroom {
            quality: 95,
            zone: UtcOffset::UTC,
            dng,
        };
        let developed = darkroom.develop(&shot, None, &timeline).unwrap();
        (shot, developed, timeline)
    }

    #[test]
    fn the_digests_are_those_of_the_bytes() {
        let (shot, developed, timeline) = developed(true);
        assert_eq!(developed.raw, shot.frame.digest());
        assert_eq!(developed.file, Digest::of(&developed.jpeg));
        assert_eq!(
            developed.dng_file,
            Some(Digest::of(developed.dng.as_ref().unwrap()))
        );
        assert_eq!(
            dng::read_frame(developed.dng.as_ref().unwrap())
                .unwrap()
                .digest(),
            developed.raw
        );
        assert!(timeline.steps().iter().any(|step| step.name == "hash raw"));
    }

    #[test]
    fn stripping_the_metadata_keeps_the_image_data_digest() {
        let (_, developed, _) = developed(false);
        // APP0 is 20 bytes long with its marker; the EXIF segment follows and says how long it is.
        let jpeg = &developed.jpeg;
        assert_eq!(jpeg[20..24], [jpeg[20], 0xE1, jpeg[22], jpeg[23]]);
        let length = usize::from(u16::from_be_bytes([jpeg[22], jpeg[23]]));
        let stripped = [&jpeg[..20], &jpeg[22 + length..]].concat();
        assert_ne!(Digest::of(&stripped), developed.file);
        assert_eq!(image_data(&stripped).unwrap().digest, developed.image_data);
    }

    #[test]
    fn the_bundle_names_every_digest_once_and_where_it_comes_from() {
        let (_, developed, _) = developed(true);
        let capture = Capture {
            source: birthmark_protocol::PixelSource::Simulated,
            software: None,
            anchor: None,
            disclosure: None,
        };
        let bundle = developed.bundle(Timestamp::from_unix(5), capture).unwrap();
        let roles: Vec<_> = bundle
            .images()
            .iter()
            .map(|image| (image.role, image.level.get(), image.parent.is_some()))
            .collect();
        assert_eq!(
            roles,
            [
                (DigestRole::Raw, 0, false),
                (DigestRole::File, 0, true),
                (DigestRole::File, 1, true),
                (DigestRole::ImageData, 1, true),
            ]
        );
    }
}
