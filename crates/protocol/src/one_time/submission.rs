//! The request of a camera that proves itself by a one-time key: `POST /api/v1/submit-once`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{EpochId, RsaBytes, key_name};
use crate::bundle::{AnchorError, Bundle};
use crate::digest::Digest;
use crate::numbers::Timestamp;
use crate::public_key::{PublicKey, Signature};
use crate::request::{Form, RequestError};
use crate::submission::{MAX_SUBMISSION, NotOurs, OurClaims, our_claims, read_signature};

/// A one-time key and what was signed: all that stands behind such a photo, for every validator to
/// check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTimeProof {
    /// The one-time key.
    pub key: PublicKey,
    /// The authority's signature over the key's name, unblinded.
    pub key_signature: RsaBytes,
    /// By the one-time key, over the bundle's digest.
    pub signature: Signature,
}

/// A photo under a one-time key. No certificate, no token, nothing that another photo of this
/// camera has as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTimeSubmission {
    /// All that is claimed about the photo.
    pub bundle: Bundle,
    /// The hash of the block at the bundle's anchor, given exactly when there is one.
    pub anchor_block: Option<Digest>,
    /// The authority that signed the key.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// The epoch.
    pub epoch: u32,
    /// Key and signatures.
    pub proof: OneTimeProof,
}

#[derive(Serialize)]
struct Fields<'a> {
    #[serde(flatten)]
    claims: OurClaims,
    authority: &'a str,
    device_family: &'a str,
    epoch: u32,
    one_time_key: String,
    key_signature: String,
    bundle_signature: String,
}

impl OneTimeProof {
    /// The name under which the key is spent, in this epoch.
    pub fn name(&self, epoch: &EpochId) -> Digest {
        key_name(epoch, &self.key)
    }
}

impl OneTimeSubmission {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        Form::read(body, MAX_SUBMISSION, |form| {
            let (bundle, anchor_block) = our_claims(&form)?;
            Ok(Self {
                bundle,
                anchor_block,
                authority: form.name("authority")?.to_owned(),
                family: form.name("device_family")?.to_owned(),
                epoch: u32::try_from(form.integer("epoch")?)
                    .map_err(|_| form.wrong("epoch", "expected the number of an epoch"))?,
                proof: OneTimeProof {
                    key: read_key(&form)?,
                    key_signature: read_key_signature(&form)?,
                    signature: read_signature(&form, "bundle_signature")?,
                },
            })
        })
    }

    /// The request's JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, NotOurs> {
        let fields = Fields {
            claims: OurClaims::new(&self.bundle, self.anchor_block)?,
            authority: &self.authority,
            device_family: &self.family,
            epoch: self.epoch,
            one_time_key: hex::encode(self.proof.key.to_compressed()),
            key_signature: STANDARD.encode(self.proof.key_signature),
            bundle_signature: STANDARD.encode(self.proof.signature.to_der()),
        };
        serde_json::to_vec(&fields).map_err(|_| NotOurs::NoSource)
    }

    /// When the camera says the photo was taken.
    pub const fn time(&self) -> Timestamp {
        self.bundle.time()
    }

    /// What the one-time key signs.
    pub fn bundle_digest(&self) -> Result<Digest, AnchorError> {
        self.bundle.digest(self.anchor_block.as_ref())
    }
}

fn read_key(form: &Form<'_>) -> Result<PublicKey, RequestError> {
    let text = form.text("one_time_key")?;
    let mut bytes = [0; 33];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| form.wrong("one_time_key", "expected 66 hexadecimal characters"))?;
    PublicKey::from_sec1(&bytes).map_err(|problem| form.wrong("one_time_key", problem))
}

fn read_key_signature(form: &Form<'_>) -> Result<RsaBytes, RequestError> {
    let bytes = STANDARD.decode(form.text("key_signature")?).ok();
    bytes
        .and_then(|bytes| RsaBytes::try_from(bytes).ok())
        .ok_or_else(|| form.wrong("key_signature", "expected 256 bytes in base64"))
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::hazmat::PrehashSigner;

    use super::*;
    use crate::bundle::{Capture, ImageClaim, PixelSource};
    use crate::{DigestRole, ModificationLevel};

    fn submission(seed: u8) -> OneTimeSubmission {
        let image = ImageClaim {
            digest: Digest::of(&[seed]),
            role: DigestRole::File,
            level: ModificationLevel::RAW,
            parent: None,
        };
        let capture = Capture {
            source: PixelSource::Sensor,
            software: Some(Digest::of(b"software")),
            anchor: None,
            disclosure: Some(Digest::of(&[seed, 1])),
        };
        let time = Timestamp::from_unix(1_795_000_000 + i64::from(seed));
        let bundle = Bundle::captured(vec![image], time, capture).unwrap();
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let signed: p256::ecdsa::Signature = key
            .sign_prehash(bundle.digest(None).unwrap().as_bytes())
            .unwrap();
        OneTimeSubmission {
            bundle,
            anchor_block: None,
            authority: "maker.example".into(),
            family: "Model".into(),
            epoch: 1483,
            proof: OneTimeProof {
                key: PublicKey::from(*key.verifying_key()),
                key_signature: [seed; 256],
                signature: signed.into(),
            },
        }
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let sent = submission(3);
        let read = OneTimeSubmission::parse(&sent.to_json().unwrap()).unwrap();
        assert_eq!(read, sent);
    }

    /// The whole list: whoever adds a field has to think about what it ties together.
    #[test]
    fn two_photos_share_family_epoch_and_software_and_nothing_else_of_the_camera() {
        let fields = |seed| {
            let json = submission(seed).to_json().unwrap();
            serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).unwrap()
        };
        let (one, other) = (fields(3), fields(4));
        let names: Vec<_> = one.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "bundle_version",
                "image_hashes",
                "timestamp",
                "source",
                "software",
                "disclosure_root",
                "authority",
                "device_family",
                "epoch",
                "one_time_key",
                "key_signature",
                "bundle_signature"
            ]
        );
        let shared: Vec<_> = one
            .iter()
            .filter(|(name, value)| other.get(*name) == Some(value))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            shared,
            [
                "bundle_version",
                "source",
                "software",
                "authority",
                "device_family",
                "epoch"
            ]
        );
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong: [(&str, serde_json::Value); 6] = [
            ("epoch", (-1).into()),
            ("one_time_key", "04".into()),
            ("one_time_key", "05".repeat(33).into()),
            ("key_signature", "AA==".into()),
            ("bundle_signature", "AA==".into()),
            ("device_family", "".into()),
        ];
        for (name, value) in wrong {
            let json = submission(3).to_json().unwrap();
            let mut fields: serde_json::Value = serde_json::from_slice(&json).unwrap();
            fields[name] = value;
            let error = OneTimeSubmission::parse(fields.to_string().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
    }
}
