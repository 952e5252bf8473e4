//! A record: everything the registry says about one photo. One record is one leaf of the tree.
//!
//! It holds the digests as the camera bound them together (raw, file, image-data), so that whoever
//! finds one finds its siblings, and says who vouched for them. It holds nothing that tells one
//! camera from another of its family: the name of a one-time key stands in one record only, and
//! whoever signed the key never saw it.
//!
//! The leaf, what is hashed into the tree:
//!
//! ```text
//! u8  version (1)
//! 32  submitter: which validator took the submission
//! u8  source: 0 camera by token, 1 camera by certificate, 2 attested camera, 3 software, 4 submission server,
//!     5 camera by one-time key
//! u8 + text  authority
//! u8 + text  device family
//! u8  0, or 1 if the authority made up the fingerprint of the camera's sensor
//! u8  0|1 and then 32 bytes: the registered image this one was edited from
//! for a camera by one-time key: u32 epoch, 32 name of the one-time key
//! …   the bundle (version 1): digests, roles, levels, parents, camera time, and what the camera claims beside them
//! ```

use birthmark_protocol::bytes::{DecodeError, Reader, put_optional32};
use birthmark_protocol::one_time::SpentKey;
use birthmark_protocol::{
    Bundle, BundleError, Digest, ImageClaim, ModificationLevel, Source, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::header::Height;
use crate::label::{self, Label};
use crate::merkle;
use crate::validators::ValidatorId;

/// The version of the leaf encoding this program writes.
pub const RECORD_VERSION: u8 = 1;

/// Who stands behind a record. Records of one batch that share it store it once.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What kind of device, and how strongly vouched for.
    pub source: Source,
    /// The authority that vouched (a manufacturer's, a software maker's), or the submission
    /// server's name.
    pub authority: Label,
    /// The device family or application, as the authority names it.
    pub family: Label,
    /// Whether the authority made up the fingerprint of the camera's sensor, as it does for
    /// rehearsals.
    pub made_up_fingerprint: bool,
}

/// One vouched photo: its digests, its claims and who stands behind them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    bundle: Bundle,
    edited_from: Option<Digest>,
    origin: Origin,
    spent: Option<SpentKey>,
}

/// Why claims do not make a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A camera's photo comes from its sensor.
    #[error("a photo from a camera cannot be edited from another image")]
    CameraEdit,
    /// Software only changes what is already registered.
    #[error("an image from editing software must name the registered image it was made from")]
    NoOriginal,
    /// Level 0 means straight from the sensor.
    #[error("an edited image cannot have modification level 0")]
    EditedRaw,
    /// An image is not its own original.
    #[error("image {0} names itself or a sibling as its original")]
    OwnOriginal(Digest),
    /// Only cameras have a sensor, a software image and an anchor.
    #[error("only a camera states where its pixels came from")]
    NoCamera,
    /// A one-time key belongs to one kind of record, and that kind always has one.
    #[error(
        "a record has a one-time key exactly when it says that its camera proved itself by one"
    )]
    OneTimeKey,
    /// The digests do not fit together.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bytes are not a record.
    #[error("not a record: {0}")]
    Decode(#[from] DecodeError),
}

impl Origin {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.source.to_byte());
        self.authority.put(out);
        self.family.put(out);
        out.push(u8::from(self.made_up_fingerprint));
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let source =
            Source::from_byte(reader.byte("source")?).ok_or(DecodeError::Value("source"))?;
        let authority = label::take(reader, "authority")?;
        let family = label::take(reader, "device family")?;
        let made_up_fingerprint = reader.flag("made-up fingerprint")?;
        Ok(Self {
            source,
            authority,
            family,
            made_up_fingerprint,
        })
    }
}

impl Record {
    /// A photo as a camera or a submission server brings it.
    pub fn new(bundle: Bundle, origin: Origin) -> Result<Self, RecordError> {
        Self::with_original(bundle, None, origin)
    }

    /// An image made from a registered one.
    pub fn edited(bundle: Bundle, original: Digest, origin: Origin) -> Result<Self, RecordError> {
        Self::with_original(bundle, Some(original), origin)
    }

    /// A photo under a one-time key.
    pub fn one_time(bundle: Bundle, origin: Origin, spent: SpentKey) -> Result<Self, RecordError> {
        Self::read(bundle, None, origin, Some(spent))
    }

    /// A photo as a camera or a submission server brings it, or an image made from a registered
    /// one.
    pub fn with_original(
        bundle: Bundle,
        edited_from: Option<Digest>,
        origin: Origin,
    ) -> Result<Self, RecordError> {
        Self::read(bundle, edited_from, origin, None)
    }

    /// Any of them; the rules are the same for every reader.
    pub(crate) fn read(
        bundle: Bundle,
        edited_from: Option<Digest>,
        origin: Origin,
        spent: Option<SpentKey>,
    ) -> Result<Self, RecordError> {
        if spent.is_some() != (origin.source == Source::CameraOneTime) {
            return Err(RecordError::OneTimeKey);
        }
        if bundle.capture().is_some() && !origin.source.is_camera() {
            return Err(RecordError::NoCamera);
        }
        match edited_from {
            None if origin.source == Source::Software => return Err(RecordError::NoOriginal),
            None => {}
            Some(_) if origin.source.is_camera() => return Err(RecordError::CameraEdit),
            Some(original) => check_edit(&bundle, original)?,
        }
        Ok(Self {
            bundle,
            edited_from,
            origin,
            spent,
        })
    }

    /// The claims, in the form whose digest the camera signed and the authority's commitment hides.
    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The digests, parents first.
    pub fn images(&self) -> &[ImageClaim] {
        self.bundle.images()
    }

    /// The digest's entry, if this record holds it.
    pub fn image(&self, digest: &Digest) -> Option<&ImageClaim> {
        self.images().iter().find(|image| image.digest == *digest)
    }

    /// What the image `digest` was made from: a sibling in this record, or the registered original.
    pub fn parent(&self, digest: &Digest) -> Option<Digest> {
        self.image(digest)
            .and_then(|image| image.parent.or(self.edited_from))
    }

    /// When the camera says the photo was taken.
    pub const fn time(&self) -> Timestamp {
        self.bundle.time()
    }

    /// The height of the newest block the camera had checked: the photo is younger than that block.
    pub fn anchor(&self) -> Option<Height> {
        self.bundle.anchor().map(Height::new)
    }

    /// The documents' commitment to the place, if there is one.
    pub const fn gps(&self) -> Option<Digest> {
        self.bundle.gps()
    }

    /// The registered image this one was edited from.
    pub const fn edited_from(&self) -> Option<Digest> {
        self.edited_from
    }

    /// Who stands behind it.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The one-time key that it spends, if its camera proved itself by one.
    pub const fn spent(&self) -> Option<&SpentKey> {
        self.spent.as_ref()
    }

    /// The bytes of the record's leaf in the tree.
    pub fn leaf_bytes(&self, submitter: &ValidatorId) -> Vec<u8> {
        let mut out = vec![RECORD_VERSION];
        out.extend(submitter.as_bytes());
        self.origin.put(&mut out);
        put_optional32(&mut out, self.edited_from.as_ref().map(Digest::as_bytes));
        if let Some(spent) = &self.spent {
            out.extend(spent.epoch.to_be_bytes());
            out.extend(spent.name.as_bytes());
        }
        out.extend(self.bundle.encode());
        out
    }

    /// The hash of the record's leaf in the tree.
    pub fn leaf_hash(&self, submitter: &ValidatorId) -> Digest {
        merkle::leaf_hash(&self.leaf_bytes(submitter))
    }

    /// Reads a leaf's bytes: the record and who submitted it.
    pub fn parse_leaf(bytes: &[u8]) -> Result<(Self, ValidatorId), RecordError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != RECORD_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let submitter = ValidatorId::from_bytes(reader.array("submitter")?);
        let origin = Origin::take(&mut reader)?;
        let edited_from = reader.optional32("original")?.map(Digest::from_bytes);
        let spent = if origin.source == Source::CameraOneTime {
            Some(SpentKey {
                epoch: u32::from_be_bytes(reader.array("epoch")?),
                name: reader.array("name of the one-time key")?.into(),
            })
        } else {
            None
        };
        let rest = reader.remaining();
        let bundle = Bundle::decode(reader.slice(rest, "bundle")?)?;
        let record = Self::read(bundle, edited_from, origin, spent)?;
        Ok((record, submitter))
    }
}

fn check_edit(bundle: &Bundle, original: Digest) -> Result<(), RecordError> {
    if bundle.images().iter().any(|image| image.digest == original) {
        return Err(RecordError::OwnOriginal(original));
    }
    // Levels never fall within a bundle, so the first image has the lowest.
    let lowest = bundle.images().first().map(|image| image.level);
    if lowest == Some(ModificationLevel::RAW) {
        Err(RecordError::EditedRaw)
    } else {
        Ok(())
    }
}
