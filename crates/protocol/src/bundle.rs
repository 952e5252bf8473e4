//! The bundle: everything a camera claims about one photo, in the one encoding its TPM signs.
//!
//! ```text
//! u8  version (1)
//! u8  number of digests (1–8)
//!     each: u8 role, u8 modification level, 32 bytes digest, u8 0|1 and then 32 bytes of the parent's digest
//! i64 capture time, big-endian seconds since 1970
//! u8  0|1 and then 32 bytes of the GPS commitment
//! ```

use crate::bytes::{DecodeError, Reader, put_optional32};
use crate::digest::{Digest, DigestRole};
use crate::numbers::{ModificationLevel, Timestamp};

/// The version of the encoding this program writes.
pub const BUNDLE_VERSION: u8 = 1;
/// How many digests one bundle may hold.
pub const MAX_IMAGES: usize = 8;

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
    gps: Option<Digest>,
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
    /// The bytes are not a bundle.
    #[error("not a bundle: {0}")]
    Decode(#[from] DecodeError),
}

impl Bundle {
    /// Checks the claims and puts them together. Order matters: a parent stands before its children.
    pub fn new(
        images: Vec<ImageClaim>,
        time: Timestamp,
        gps: Option<Digest>,
    ) -> Result<Self, BundleError> {
        if images.is_empty() || images.len() > MAX_IMAGES {
            return Err(BundleError::Count(images.len()));
        }
        for (position, image) in images.iter().enumerate() {
            let (earlier, _) = images.split_at(position);
            check_image(image, earlier)?;
        }
        Ok(Self { images, time, gps })
    }

    /// The digests, parents first.
    pub fn images(&self) -> &[ImageClaim] {
        &self.images
    }

    /// When the camera says the photo was taken.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The commitment to the place, if the photographer made one.
    pub const fn gps(&self) -> Option<Digest> {
        self.gps
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![
            BUNDLE_VERSION,
            u8::try_from(self.images.len()).unwrap_or(u8::MAX),
        ];
        for image in &self.images {
            out.extend([image.role.to_byte(), image.level.get()]);
            out.extend(image.digest.as_bytes());
            put_optional32(&mut out, image.parent.as_ref().map(Digest::as_bytes));
        }
        out.extend(self.time.unix().to_be_bytes());
        put_optional32(&mut out, self.gps.as_ref().map(Digest::as_bytes));
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
        let gps = reader.optional32("GPS commitment")?.map(Digest::from_bytes);
        reader.end()?;
        Self::new(images, time, gps)
    }

    /// What the camera's TPM signs: `SHA-256("birthmark/bundle/v1" ‖ bundle)`.
    pub fn digest(&self) -> Digest {
        Digest::tagged("birthmark/bundle/v1", &[&self.encode()])
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
        assert_eq!(bytes.len(), 2 + 35 + 2 * 67 + 8 + 33);
        assert_eq!(photo().digest().to_hex(), FIXTURE_DIGEST);
        assert_eq!(Bundle::decode(&bytes).unwrap(), photo());
    }
    // Computed independently: sha256("birthmark/bundle/v1" + bytes) in Python, see spec/vectors/make.py.
    const FIXTURE_DIGEST: &str = "ebc2f1a76541e9f1851542787ad22d352de6507971bd100e8d96e9d3b1536a85";

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
        fn every_bundle_reads_back(names in proptest::collection::hash_set(any::<[u8; 32]>(), 1..=8), time: i64, gps: Option<[u8; 32]>) {
            let names: Vec<_> = names.into_iter().map(Digest::from_bytes).collect();
            let images = names.iter().enumerate().map(|(position, digest)| ImageClaim {
                digest: *digest,
                role: DigestRole::from_byte(u8::try_from(position % 4).unwrap()).unwrap(),
                level: if position == 0 { ModificationLevel::RAW } else { ModificationLevel::PROCESSED },
                parent: position.checked_sub(1).map(|before| names[before]),
            });
            let bundle = Bundle::new(images.collect(), Timestamp::from_unix(time), gps.map(Digest::from_bytes)).unwrap();
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
