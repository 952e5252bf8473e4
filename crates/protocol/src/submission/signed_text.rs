//! The texts that cameras sign, rebuilt from what they sent.

use crate::bundle::{AnchorError, Bundle};
use crate::digest::Digest;
use crate::json::{Object, Value};
use crate::numbers::Timestamp;
use crate::python_json;

/// A text that may have been signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedText {
    /// How it was put together.
    pub form: SignedForm,
    /// Its SHA-256: what ECDSA signs.
    pub digest: Digest,
}

/// The ways to put a signed text together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignedForm {
    /// Ours: the bundle's canonical bytes behind their domain string.
    Bundle,
    /// `json.dumps(…, sort_keys=True)` of the request without its signature.
    Python,
    /// Image hash, certificate, time and GPS hash, each on a line of its own.
    CertificateLines,
    /// Image hash and time. Says nothing about the place.
    HashAndTime,
}

impl SignedText {
    pub(super) fn bundle(
        bundle: &Bundle,
        anchor_block: Option<&Digest>,
    ) -> Result<Self, AnchorError> {
        Ok(Self {
            form: SignedForm::Bundle,
            digest: bundle.digest(anchor_block)?,
        })
    }

    pub(super) fn new(form: SignedForm, text: &str) -> Self {
        Self {
            form,
            digest: Digest::of(text.as_bytes()),
        }
    }
}

/// What the camera plan signs: the request's fields without the signature, as Python writes them.
pub fn python_text(fields: &Object<'_>) -> String {
    let mut fields = fields.clone();
    fields.remove("device_signature");
    python_json::dumps_object(&fields)
}

/// What the node plan signs: four lines, the last empty without a place.
pub fn certificate_lines(
    image_hash: &Digest,
    camera_cert: &str,
    timestamp: Timestamp,
    gps_hash: Option<&Digest>,
) -> String {
    let gps_hash = gps_hash.map(Digest::to_hex).unwrap_or_default();
    format!("{image_hash}\n{camera_cert}\n{timestamp}\n{gps_hash}\n")
}

/// What the simplest clients sign: the image hash as they sent it, followed by the decimal time.
pub fn hash_and_time(image_hash: &str, timestamp: Timestamp) -> String {
    format!("{image_hash}{timestamp}")
}

/// The texts in Python's form that the fields of a request may stand for. They differ in what
/// carries no meaning: our additional `device_certificate`, and whether an absent place is left out
/// or null.
pub(super) fn python_texts(fields: &Object<'_>) -> Vec<SignedText> {
    let mut without_certificate = fields.clone();
    without_certificate.remove("device_certificate");
    let mut other_null = without_certificate.clone();
    match other_null.get("gps_hash") {
        None => drop(other_null.insert("gps_hash".into(), Value::Null)),
        Some(Value::Null) => drop(other_null.remove("gps_hash")),
        Some(_) => {}
    }
    let mut texts = Vec::new();
    for fields in [&without_certificate, &other_null, fields] {
        let text = SignedText::new(SignedForm::Python, &python_text(fields));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}
