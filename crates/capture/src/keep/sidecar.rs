//! What lies beside a photo: everything its proof consists of, for the photographer and for
//! independent checks.
//!
//! Whoever changes a sidecar changes a copy: the signature covers the bundle, and the registry has
//! the digests. The opening of the commitment is not in it, and the leaves of the disclosure root
//! lie in a file of their own, so that a sidecar can be given away without giving these away.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::{Bundle, Digest, Disclosure, ModificationLevel, PixelSource};
use birthmark_sensor::Exposure;
use serde::{Deserialize, Serialize};

use crate::keep::album::{Album, SIDECAR};
use crate::send::signer::{Proof, ProvedBy};
use crate::shutter::timeline::Step;

/// The bytes of the file with the leaves.
pub fn encode_leaves(disclosure: &Disclosure) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(disclosure)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// One digest of the photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The digest.
    pub image_hash: Digest,
    /// What it was computed over.
    pub role: String,
    /// How far from the sensor.
    pub modification_level: ModificationLevel,
    /// The digest it was made from.
    pub parent_image_hash: Option<Digest>,
}

/// The sidecar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The picture's name, relative to the folder of photos.
    pub photo: String,
    /// The proof's name in the queue.
    pub id: String,
    /// The digests, parents first.
    pub images: Vec<Image>,
    /// When the photo was taken, in Unix seconds, as signed.
    pub timestamp: i64,
    /// Where the pixels came from, as signed.
    pub pixels: Option<PixelSource>,
    /// The root over what the photographer may disclose, if there is anything.
    pub disclosure_root: Option<Digest>,
    /// The canonical bytes of the bundle, in base64.
    pub bundle: String,
    /// The hash of the block the bundle is anchored to, if it is to one: signed, but not in the
    /// bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_block: Option<Digest>,
    /// The signature, if the signer could be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_signature: Option<String>,
    /// The camera's certificate, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera_cert: Option<String>,
    /// The key that signed this photo alone, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_time_key: Option<String>,
    /// The epoch of that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Where the key lives: `tpm` or `software`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store: Option<String>,
    /// How the photo was exposed, and what the clock was worth.
    pub exposure: Exposure,
    /// Where the frame came from.
    pub source: String,
    /// What took how long.
    pub timeline: Vec<Step>,
}

impl Sidecar {
    /// The images of a bundle.
    pub fn images(bundle: &Bundle) -> Vec<Image> {
        let image = |claim: &birthmark_protocol::ImageClaim| Image {
            image_hash: claim.digest,
            role: claim.role.name().to_owned(),
            modification_level: claim.level,
            parent_image_hash: claim.parent,
        };
        bundle.images().iter().map(image).collect()
    }

    /// The canonical bytes of a bundle, in base64.
    pub fn encoded(bundle: &Bundle) -> String {
        STANDARD.encode(bundle.encode())
    }

    /// The bytes of its file.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Puts the proof in.
    pub fn with(mut self, proof: Option<&Proof>) -> Self {
        if let Some(proof) = proof {
            self.bundle_signature = Some(proof.signature.clone());
            match &proof.by {
                ProvedBy::Certificate { certificate, .. } => {
                    self.camera_cert = Some(certificate.clone());
                }
                ProvedBy::OneTimeKey {
                    epoch,
                    one_time_key,
                    ..
                } => {
                    self.epoch = Some(*epoch);
                    self.one_time_key = Some(one_time_key.clone());
                }
            }
            self.key_store = Some(proof.key_store.clone());
        }
        self
    }
}

/// Puts a late proof into the sidecar of a photo. A sidecar that is gone or damaged is left alone:
/// it is only a copy.
pub fn add_proof(album: &Album, picture: &str, proof: &Proof) -> io::Result<()> {
    let path = album.root().join(picture).with_extension(SIDECAR);
    let Ok(bytes) = std::fs::read(&path) else {
        return Ok(());
    };
    match serde_json::from_slice::<Sidecar>(&bytes) {
        Ok(sidecar) => album
            .write_json(picture, SIDECAR, &sidecar.with(Some(proof)))
            .map(|_| ()),
        Err(error) => {
            log::warn!("{} is damaged and stays as it is: {error}", path.display());
            Ok(())
        }
    }
}
