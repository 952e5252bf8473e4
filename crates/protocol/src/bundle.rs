//! The bundle: everything a camera claims about one photo, in the one encoding its TPM signs.
//!
//! ```text
//! u8  version (1)
//! u8  number of digests (1–8)
//!     each: u8 role, u8 modification level, 32 bytes digest, u8 0|1 and then 32 bytes of the parent's digest
//! i64 capture time, big-endian seconds since 1970
//! u8  source: 0 not stated, 1 a sensor, 2 a file, 3 a simulation
//!     0:   u8 0|1 and then 32 bytes of the GPS commitment
//!     1–3: u8 0|1 and then 32 bytes: the software that ran
//!          u8 0|1 and then u64, big-endian: the height of the anchor
//!          u8 0|1 and then 32 bytes of the disclosure root
//! ```
//!
//! Cameras of the documents state no source. The camera signs
//! `SHA-256("birthmark/bundle/v1" ‖ 00 ‖ bundle)`, or with an anchor
//! `SHA-256("birthmark/bundle/v1" ‖ 00 ‖ bundle ‖ hash of the block at the anchor's height)`:
//! nobody knows that hash before the block, so the photo is younger than it. The registry knows its
//! own blocks, which is why the hash is signed but not carried in the bundle.

mod capture;

pub use capture::{Capture, PixelSource};

use crate::bytes::{DecodeError, Reader, put_optional32};
use crate::digest::{Digest, DigestRole};
use crate::numbers::{ModificationLevel, Timestamp};
use capture::Circumstances;

/// The version of the encoding this program writes.
pub const BUNDLE_VERSION: u8 = 1;
/// How many digests one bundle may hold.
pub const MAX_IMAGES: usize = 8;
/// The highest anchor: heights stay exact in every JSON reader.
pub const MAX_ANCHOR: u64 = 1 << 53;

/// One digest of a photo and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageClaim {
    /// The digest.
    pub digest: Digest,
    /// What it was computed over.
    pub role: DigestRole,
    /// How far from the sensor.
    pub level: ModificationLevel,
    /// The digest it was made from: another one of the same bundle.
    pub parent: Option<Digest>,
}

/// A complete and consistent set of claims about one photo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    images: Vec<ImageClaim>,
    time: Timestamp,
    circumstances: Circumstances,
}

/// Why claims do not make a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// No digest, or too many.
    #[error("a bundle has 1 to 8 digests, not {0}")]
    Count(usize),
    /// The same digest twice.
    #[error("digest {0} stands twice in the bundle")]
    Repeated(Digest),
    /// The first digest of a bundle is what everything else came from.
    #[error("digest {0} comes first and cannot have a parent")]
    ParentOfFirst(Digest),
    /// A later digest must come from an earlier one of the same bundle.
    #[error("digest {0} names no earlier digest of the bundle as its parent")]
    NoParent(Digest),
    /// Nothing comes closer to the sensor by being worked on.
    #[error("digest {0} has a lower modification level than its parent")]
    LevelFalls(Digest),
    /// No block has such a height.
    #[error("the anchor's height {0} is more than 2^53")]
    AnchorHeight(u64),
    /// The bytes are not a bundle.
    #[error("not a bundle: {0}")]
    Decode(#[from] DecodeError),
    /// The bundle and the block it is anchored to do not fit together.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// Why the digest that a camera signs cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The bundle names a block, and its hash is not known.
    #[error("the hash of the anchor, block {0}, is needed")]
    Missing(u64),
    /// A hash for a bundle that names no block.
    #[error("the bundle has no anchor, so it takes no block's hash")]
    Unwanted,
}

impl Bundle {
    /// The claims of a camera of the documents, which states no source. Order matters: a parent
    /// stands before its children.
    pub fn new(
        images: Vec<ImageClaim>,
        time: Timestamp,
        gps: Option<Digest>,
    ) -> Result<Self, BundleError> {
        Self::checked(images, time, Circumstances::Unstated { gps })
    }

    /// The claims of a camera of ours.
    pub fn captured(
        images: Vec<ImageClaim>,
        time: Timestamp,
        capture: Capture,
    ) -> Result<Self, BundleError> {
        if let Some(height) = capture.anchor.filter(|height| *height > MAX_ANCHOR) {
            return Err(BundleError::AnchorHeight(height));
        }
        Self::checked(images, time, Circumstances::Stated(capture))
    }

    fn checked(
        images: Vec<ImageClaim>,
        time: Timestamp,
        circumstances: Circumstances,
    ) -> Result<Self, BundleError> {
        if images.is_empty() || images.len() > MAX_IMAGES {
            return Err(BundleError::Count(images.len()));
        }
        for (position, image) in images.iter().enumerate() {
            let (earlier, _) = images.split_at(position);
            check_image(image, earlier)?;
        }
        Ok(Self {
            images,
            time,
            circumstances,
        })
    }

    /// The digests, parents first.
    pub fn images(&self) -> &[ImageClaim] {
        &self.images
    }

    /// When the camera says the photo was taken.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The documents' commitment to the place, if there is one. Cameras of ours have a disclosure
    /// root instead.
    pub const fn gps(&self) -> Option<Digest> {
        match self.circumstances {
            Circumstances::Unstated { gps } => gps,
            Circumstances::Stated(_) => None,
        }
    }

    /// What a camera of ours claims beside the digests; `None` for those of the documents.
    pub const fn capture(&self) -> Option<&Capture> {
        match &self.circumstances {
            Circumstances::Unstated { .. } => None,
            Circumstances::Stated(capture) => Some(capture),
        }
    }

    /// The height of the newest block the camera had checked.
    pub fn anchor(&self) -> Option<u64> {
        self.capture().and_then(|capture| capture.anchor)
    }

    /// Whether the camera itself says that the pixels came from no sensor.
    pub fn is_rehearsal(&self) -> bool {
        self.capture()
            .is_some_and(|capture| capture.source.is_rehearsal())
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        // At most eight, see `checked`.
        let mut out = vec![BUNDLE_VERSION, self.images.len() as u8];
        for image in &self.images {
            out.extend([image.role.to_byte(), image.level.get()]);
            out.extend(image.digest.as_bytes());
            put_optional32(&mut out, image.parent.as_ref().map(Digest::as_bytes));
        }
        out.extend(self.time.unix().to_be_bytes());
        self.circumstances.put(&mut out);
        out
    }

    /// Reads canonical bytes; anything else than exactly one bundle is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != BUNDLE_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let count = usize::from(reader.byte("number of digests")?);
        if count > MAX_IMAGES {
            return Err(BundleError::Count(count));
        }
        let images = (0..count)
            .map(|_| decode_image(&mut reader))
            .collect::<Result<_, _>>()?;
        let time = Timestamp::from_unix(i64::from_be_bytes(reader.array("capture time")?));
        let circumstances = Circumstances::take(&mut reader)?;
        reader.end()?;
        match circumstances {
            Circumstances::Unstated { gps } => Self::new(images, time, gps),
            Circumstances::Stated(capture) => Self::captured(images, time, capture),
        }
    }

    /// What the camera's TPM signs. `anchor_block` is the hash of the block at the anchor's height;
    /// a bundle without an anchor takes none.
    pub fn digest(&self, anchor_block: Option<&Digest>) -> Result<Digest, AnchorError> {
        let bundle = self.encode();
        let tagged = |parts: &[&[u8]]| Digest::tagged("birthmark/bundle/v1", parts);
        match (self.anchor(), anchor_block) {
            (None, None) => Ok(tagged(&[&bundle])),
            (Some(_), Some(block)) => Ok(tagged(&[&bundle, block.as_bytes()])),
            (Some(height), None) => Err(AnchorError::Missing(height)),
            (None, Some(_)) => Err(AnchorError::Unwanted),
        }
    }
}

fn check_image(image: &ImageClaim, earlier: &[ImageClaim]) -> Result<(), BundleError> {
    if earlier.iter().any(|other| other.digest == image.digest) {
        return Err(BundleError::Repeated(image.digest));
    }
    let Some(parent) = image.parent else {
        return if earlier.is_empty() {
            Ok(())
        } else {
            Err(BundleError::NoParent(image.digest))
        };
    };
    if earlier.is_empty() {
        return Err(BundleError::ParentOfFirst(image.digest));
    }
    let parent = earlier
        .iter()
        .find(|other| other.digest == parent)
        .ok_or(BundleError::NoParent(image.digest))?;
    if image.level < parent.level {
        Err(BundleError::LevelFalls(image.digest))
    } else {
        Ok(())
    }
}

fn decode_image(reader: &mut Reader<'_>) -> Result<ImageClaim, DecodeError> {
    let role = DigestRole::from_byte(reader.byte("role")?).ok_or(DecodeError::Value("role"))?;
    let level = i64::from(reader.byte("modification level")?);
    let level =
        ModificationLevel::try_from(level).map_err(|_| DecodeError::Value("modification level"))?;
    let digest = Digest::from_bytes(reader.array("digest")?);
    let parent = reader.optional32("parent")?.map(Digest::from_bytes);
    Ok(ImageClaim {
        digest,
        role,
        level,
        parent,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(
        name: &[u8],
        role: DigestRole,
        level: ModificationLevel,
        parent: Option<&[u8]>,
    ) -> ImageClaim {
        ImageClaim {
            digest: Digest::of(name),
            role,
            level,
            parent: parent.map(Digest::of),
        }
    }

    fn photo() -> Bundle {
        let images = vec![
            claim(b"raw", DigestRole::Raw, ModificationLevel::RAW, None),
            claim(
                b"file",
                DigestRole::File,
                ModificationLevel::PROCESSED,
                Some(b"raw"),
            ),
            claim(
                b"data",
                DigestRole::ImageData,
                ModificationLevel::PROCESSED,
                Some(b"file"),
            ),
        ];
        Bundle::new(
            images,
            Timestamp::from_unix(1_795_000_000),
            Some(Digest::of(b"place")),
        )
        .unwrap()
    }

    #[test]
    fn the_bytes_never_change() {
        let bytes = photo().encode();
        assert_eq!(bytes.len(), 2 + 35 + 2 * 67 + 8 + 1 + 33);
        assert_eq!(photo().digest(None).unwrap().to_hex(), FIXTURE_DIGEST);
        assert_eq!(Bundle::decode(&bytes).unwrap(), photo());
    }
    // Computed independently: sha256("birthmark/bundle/v1" + bytes) in Python, see
    // spec/vectors/make.py.
    const FIXTURE_DIGEST: &str = "e7e6f9c32e5ea4dcd308d4da7cde519219f38320d65153e8a9947e064b23023a";

    fn captured(capture: Capture) -> Bundle {
        Bundle::captured(photo().images().to_vec(), photo().time(), capture).unwrap()
    }

    const CAPTURE: Capture = Capture {
        source: PixelSource::Sensor,
        software: None,
        anchor: None,
        disclosure: None,
    };

    #[test]
    fn an_anchored_bundle_is_signed_with_the_hash_of_its_block_and_no_other_is() {
        let anchored = captured(Capture {
            anchor: Some(812),
            ..CAPTURE
        });
        let (block, other) = (Digest::of(b"block 812"), Digest::of(b"another block"));
        assert_eq!(anchored.digest(None), Err(AnchorError::Missing(812)));
        assert_ne!(
            anchored.digest(Some(&block)).unwrap(),
            anchored.digest(Some(&other)).unwrap()
        );
        assert_eq!(
            captured(CAPTURE).digest(Some(&block)),
            Err(AnchorError::Unwanted)
        );
    }

    #[test]
    fn every_claim_changes_what_is_signed() {
        let claims = [
            CAPTURE,
            Capture {
                source: PixelSource::File,
                ..CAPTURE
            },
            Capture {
                source: PixelSource::Simulated,
                ..CAPTURE
            },
            Capture {
                software: Some(Digest::of(b"image")),
                ..CAPTURE
            },
            Capture {
                disclosure: Some(Digest::of(b"image")),
                ..CAPTURE
            },
        ];
        let digests = claims.map(|claim| captured(claim).digest(None).unwrap());
        let distinct = std::collections::BTreeSet::from(digests);
        assert_eq!(distinct.len(), claims.len());
        assert!(!captured(CAPTURE).is_rehearsal() && captured(claims[2]).is_rehearsal());
    }

    #[test]
    fn what_does_not_hold_together_is_refused_by_name() {
        let raw = claim(b"raw", DigestRole::Raw, ModificationLevel::RAW, None);
        let file = claim(
            b"file",
            DigestRole::File,
            ModificationLevel::PROCESSED,
            Some(b"raw"),
        );
        let make = |images| Bundle::new(images, Timestamp::from_unix(0), None).unwrap_err();
        assert_eq!(make(vec![]), BundleError::Count(0));
        assert_eq!(make(vec![raw, raw]), BundleError::Repeated(raw.digest));
        assert_eq!(make(vec![file]), BundleError::ParentOfFirst(file.digest));
        assert_eq!(
            make(vec![
                raw,
                ImageClaim {
                    parent: None,
                    ..file
                }
            ]),
            BundleError::NoParent(file.digest)
        );
        assert_eq!(
            make(vec![
                raw,
                ImageClaim {
                    parent: Some(file.digest),
                    ..file
                }
            ]),
            BundleError::NoParent(file.digest)
        );
        let fallen = [
            ImageClaim {
                level: ModificationLevel::MODIFIED,
                ..raw
            },
            file,
        ];
        assert_eq!(make(fallen.to_vec()), BundleError::LevelFalls(file.digest));
    }

    #[test]
    fn a_foreign_version_and_trailing_bytes_are_refused() {
        let mut bytes = photo().encode();
        bytes.push(0);
        assert_eq!(Bundle::decode(&bytes), Err(DecodeError::Trailing(1).into()));
        bytes[0] = 2;
        assert_eq!(Bundle::decode(&bytes), Err(DecodeError::Version(2).into()));
    }

    proptest! {
        #[test]
        fn any_bytes_either_read_back_exactly_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(bundle) = Bundle::decode(&bytes) {
                prop_assert_eq!(bundle.encode(), bytes);
            }
        }

        #[test]
        fn every_bundle_reads_back(names in proptest::collection::hash_set(any::<[u8; 32]>(), 1..=8), time: i64, gps: Option<[u8; 32]>, source in 0u8..=3, software: Option<[u8; 32]>, anchor in proptest::option::of(0..=MAX_ANCHOR)) {
            let names: Vec<_> = names.into_iter().map(Digest::from_bytes).collect();
            let images = names.iter().enumerate().map(|(position, digest)| ImageClaim {
                digest: *digest,
                role: DigestRole::from_byte(u8::try_from(position % 4).unwrap()).unwrap(),
                level: if position == 0 { ModificationLevel::RAW } else { ModificationLevel::PROCESSED },
                parent: position.checked_sub(1).map(|before| names[before]),
            });
            let (images, time, root) = (images.collect(), Timestamp::from_unix(time), gps.map(Digest::from_bytes));
            let bundle = match PixelSource::from_byte(source) {
                None => Bundle::new(images, time, root).unwrap(),
                Some(source) => Bundle::captured(images, time, Capture {
                    source,
                    software: software.map(Digest::from_bytes),
                    anchor,
                    disclosure: root,
                }).unwrap(),
            };
            prop_assert_eq!(Bundle::decode(&bundle.encode()).unwrap(), bundle);
        }

        #[test]
        fn no_cut_reads(cut in 0usize..200) {
            let bytes = photo().encode();
            let cut = cut % bytes.len();
            prop_assert!(Bundle::decode(&bytes[..cut]).is_err());
        }
    }
}
