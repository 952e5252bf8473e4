//! One record's word about one digest, wherever the record was read.

use birthmark_ledger::{BlockTime, Height, Record, Source};
use birthmark_protocol::{Digest, DigestRole, ModificationLevel, PixelSource, Timestamp};

/// What a record says about a digest, and the block that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighted<'a> {
    /// The digest.
    pub digest: Digest,
    /// What it was computed over.
    pub role: DigestRole,
    /// How far from the sensor.
    pub level: ModificationLevel,
    /// What the image was made from.
    pub parent: Option<Digest>,
    /// Who brought it, and how strongly that is vouched for.
    pub source: Source,
    /// Who vouched.
    pub authority: &'a str,
    /// The family of the camera, or the software.
    pub family: &'a str,
    /// What the device's own clock said.
    pub claimed: Timestamp,
    /// The block.
    pub height: Height,
    /// The block's time: the image existed before it.
    pub before: BlockTime,
    /// The time of the block that the camera had checked before it took the photo, where that is
    /// proven.
    pub after: Option<BlockTime>,
    /// Where the camera's program took the pixels from; cameras of the documents do not say.
    pub pixels: Option<PixelSource>,
    /// The system image that ran in the camera, where the system measures it.
    pub software: Option<Digest>,
    /// The epoch of the one-time key by which the camera proved itself, if it was one.
    pub epoch: Option<u32>,
    /// Whether the authority made up the fingerprint of the camera's sensor.
    pub has_made_up_fingerprint: bool,
    /// Whether the registry itself is a rehearsal.
    pub is_in_rehearsal: bool,
}

impl<'a> Sighted<'a> {
    /// What a record in a block says about a digest; nothing if the digest is not in it. Whether
    /// the registry is a rehearsal and what block came before, whoever knows fills in.
    pub fn new(
        record: &'a Record,
        digest: &Digest,
        height: Height,
        before: BlockTime,
    ) -> Option<Self> {
        let image = record.image(digest)?;
        let origin = record.origin();
        Some(Self {
            digest: *digest,
            role: image.role,
            level: image.level,
            parent: record.parent(digest),
            source: origin.source,
            authority: origin.authority.as_str(),
            family: origin.family.as_str(),
            claimed: record.time(),
            height,
            before,
            after: None,
            pixels: record.bundle().capture().map(|capture| capture.source),
            software: record
                .bundle()
                .capture()
                .and_then(|capture| capture.software),
            epoch: record.spent().map(|spent| spent.epoch),
            has_made_up_fingerprint: origin.made_up_fingerprint,
            is_in_rehearsal: false,
        })
    }

    /// Whether it is no evidence: the registry is a rehearsal, the camera says that its pixels are,
    /// or its authority made up its sensor's fingerprint.
    pub fn is_rehearsal(&self) -> bool {
        self.is_in_rehearsal
            || self.has_made_up_fingerprint
            || self.pixels.is_some_and(PixelSource::is_rehearsal)
    }

    /// Whether something was done to the picture after it left a camera.
    pub fn is_edit(&self) -> bool {
        !self.source.is_camera() || self.level == ModificationLevel::MODIFIED
    }
}

/// How strongly a source is vouched for, the strongest first: of several records the strongest
/// speaks.
pub const fn strength(source: Source) -> u8 {
    match source {
        Source::CameraAttested | Source::CameraOneTime => 0,
        Source::CameraCertificate => 1,
        Source::CameraToken => 2,
        Source::Software => 3,
        Source::Server => 4,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record's word, made up for a test.
    pub(crate) fn sighted(source: Source, level: i64, role: DigestRole) -> Sighted<'static> {
        Sighted {
            digest: Digest::from_bytes([0xBB; 32]),
            role,
            level: ModificationLevel::try_from(level).unwrap(),
            parent: Some(Digest::from_bytes([0xAA; 32])),
            source,
            authority: "test-maker",
            family: "Example One",
            claimed: Timestamp::from_unix(1_794_995_970),
            height: Height::new(7),
            before: BlockTime::from_millis(1_794_996_000_000),
            after: None,
            pixels: Some(PixelSource::Sensor),
            software: None,
            epoch: None,
            has_made_up_fingerprint: false,
            is_in_rehearsal: false,
        }
    }

    #[test]
    fn the_strongest_source_comes_first() {
        let order = [
            Source::CameraAttested,
            Source::CameraCertificate,
            Source::CameraToken,
            Source::Software,
            Source::Server,
        ];
        assert!(order.map(strength).is_sorted());
    }

    #[test]
    fn a_rehearsal_is_one_by_its_registry_or_by_its_own_word() {
        let photo = sighted(Source::CameraAttested, 1, DigestRole::File);
        assert!(!photo.is_rehearsal());
        for source in [PixelSource::File, PixelSource::Simulated] {
            let pixels = Some(source);
            assert!(
                Sighted {
                    pixels,
                    ..photo.clone()
                }
                .is_rehearsal()
            );
        }
        let is_in_rehearsal = true;
        assert!(
            Sighted {
                is_in_rehearsal,
                ..photo
            }
            .is_rehearsal()
        );
    }

    #[test]
    fn what_a_camera_developed_is_no_edit() {
        let file = DigestRole::File;
        assert!(!sighted(Source::CameraToken, 1, file).is_edit());
        assert!(sighted(Source::CameraToken, 2, file).is_edit());
        assert!(sighted(Source::Software, 1, file).is_edit());
        assert!(sighted(Source::Server, 0, file).is_edit());
    }
}
