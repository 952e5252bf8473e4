//! The request our own cameras send to `/api/v1/submit-cert`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::bundle::{AnchorError, BUNDLE_VERSION, Bundle, ImageClaim};
use crate::commitment::Opening;
use crate::digest::Digest;
use crate::numbers::{ModificationLevel, Timestamp};
use crate::public_key::Signature;
use crate::token::CameraToken;

/// A signed photo on its way to a node. Turn it into JSON with serde.
#[derive(Serialize)]
pub struct OurSubmission {
    #[serde(flatten)]
    claims: OurClaims,
    camera_cert: String,
    camera_token: CameraToken,
    opening: String,
    bundle_signature: String,
}

/// What a bundle says, as the fields of a request.
#[derive(Serialize)]
pub(crate) struct OurClaims {
    bundle_version: u8,
    image_hashes: Vec<OurImage>,
    timestamp: Timestamp,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<Anchor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disclosure_root: Option<Digest>,
}

/// The newest block a camera had checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub block_hash: Digest,
}

/// Why a bundle cannot be sent in our form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is one of the documents' forms.
    #[error("the bundle states no source")]
    NoSource,
    /// Bundle and block do not fit together.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

#[derive(Serialize)]
struct OurImage {
    image_hash: Digest,
    role: &'static str,
    modification_level: ModificationLevel,
    parent_image_hash: Option<Digest>,
}

impl OurSubmission {
    /// Puts a request together. `token` is bound to the commitment of `bundle` and `opening`;
    /// `anchor_block` is the hash of the block at the bundle's anchor.
    pub fn new(
        bundle: &Bundle,
        anchor_block: Option<Digest>,
        certificate_der: &[u8],
        token: CameraToken,
        opening: &Opening,
        signature: &Signature,
    ) -> Result<Self, NotOurs> {
        Ok(Self {
            claims: OurClaims::new(bundle, anchor_block)?,
            camera_cert: STANDARD.encode(certificate_der),
            camera_token: token,
            opening: hex::encode(opening.expose()),
            bundle_signature: STANDARD.encode(signature.to_der()),
        })
    }
}

impl OurClaims {
    pub(crate) fn new(bundle: &Bundle, anchor_block: Option<Digest>) -> Result<Self, NotOurs> {
        let capture = bundle.capture().ok_or(NotOurs::NoSource)?;
        bundle.digest(anchor_block.as_ref())?;
        let anchor = capture.anchor.zip(anchor_block);
        Ok(Self {
            bundle_version: BUNDLE_VERSION,
            image_hashes: bundle.images().iter().map(OurImage::from).collect(),
            timestamp: bundle.time(),
            source: capture.source.name(),
            software: capture.software,
            anchor: anchor.map(|(height, block_hash)| Anchor { height, block_hash }),
            disclosure_root: capture.disclosure,
        })
    }
}

impl From<&ImageClaim> for OurImage {
    fn from(image: &ImageClaim) -> Self {
        Self {
            image_hash: image.digest,
            role: image.role.name(),
            modification_level: image.level,
            parent_image_hash: image.parent,
        }
    }
}
