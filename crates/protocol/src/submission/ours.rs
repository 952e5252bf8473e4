//! The request our own cameras send to `/api/v1/submit-cert`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::bundle::{BUNDLE_VERSION, Bundle, ImageClaim};
use crate::commitment::Opening;
use crate::digest::Digest;
use crate::numbers::{ModificationLevel, Timestamp};
use crate::public_key::Signature;
use crate::token::CameraToken;

/// A signed photo on its way to a node. Turn it into JSON with serde.
#[derive(Serialize)]
pub struct OurSubmission {
    bundle_version: u8,
    image_hashes: Vec<OurImage>,
    timestamp: Timestamp,
    gps_hash: Option<Digest>,
    camera_cert: String,
    camera_token: CameraToken,
    opening: String,
    bundle_signature: String,
}

#[derive(Serialize)]
struct OurImage {
    image_hash: Digest,
    role: &'static str,
    modification_level: ModificationLevel,
    parent_image_hash: Option<Digest>,
}

impl OurSubmission {
    /// Puts a request together. `token` is bound to the commitment of `bundle` and `opening`.
    pub fn new(
        bundle: &Bundle,
        certificate_der: &[u8],
        token: CameraToken,
        opening: &Opening,
        signature: &Signature,
    ) -> Self {
        Self {
            bundle_version: BUNDLE_VERSION,
            image_hashes: bundle.images().iter().map(OurImage::from).collect(),
            timestamp: bundle.time(),
            gps_hash: bundle.gps(),
            camera_cert: STANDARD.encode(certificate_der),
            camera_token: token,
            opening: hex::encode(opening.expose()),
            bundle_signature: STANDARD.encode(signature.to_der()),
        }
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
