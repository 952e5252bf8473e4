//! Edited images: what editing software sends to register a picture made from a registered one.
//!
//! Reading proves nothing yet: the node checks the certificate's issuer and that the original is
//! registered, and the level against the original's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::bundle::{Bundle, BundleError, ImageClaim};
use crate::digest::{Digest, DigestRole};
use crate::numbers::{ModificationLevel, Timestamp};
use crate::public_key::{Signature, SignatureError};
use crate::request::{Form, RequestError};
use crate::software::SoftwareCertificate;
use crate::submission::MAX_SUBMISSION;

/// What editing software claims about a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EditClaims {
    /// The edited file's digest.
    pub image: Digest,
    /// The digest of its image data, if it has one.
    pub image_data: Option<Digest>,
    /// 1 lightly edited, 2 content changed.
    pub level: ModificationLevel,
    /// The registered image it was made from.
    pub original: Digest,
    /// When it was edited.
    pub time: Timestamp,
}

/// A signed edit on its way to a node. Turn it into JSON with serde.
#[derive(Clone, Debug, Serialize)]
pub struct EditSubmission {
    image_hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_data_hash: Option<Digest>,
    modification_level: ModificationLevel,
    parent_image_hash: Digest,
    timestamp: Timestamp,
    software_cert: String,
    bundle_signature: String,
}

/// An edit as a node reads it.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The claims as they are signed and registered.
    pub bundle: Bundle,
    /// The registered image it was made from.
    pub original: Digest,
    /// The software's certificate. Its issuer is not checked here.
    pub certificate: SoftwareCertificate,
    /// Made by the certificate's key, if it holds.
    pub signature: Signature,
}

impl EditClaims {
    /// The claims in the form that is signed and registered: the file, and its image data made from
    /// it.
    pub fn bundle(&self) -> Result<Bundle, BundleError> {
        let file = ImageClaim {
            digest: self.image,
            role: DigestRole::File,
            level: self.level,
            parent: None,
        };
        let data = self.image_data.map(|digest| ImageClaim {
            digest,
            role: DigestRole::ImageData,
            parent: Some(self.image),
            ..file
        });
        Bundle::new(std::iter::once(file).chain(data).collect(), self.time, None)
    }

    /// What the software signs.
    pub fn signed_digest(&self) -> Result<Digest, BundleError> {
        signed_digest(&self.bundle()?, &self.original)
    }
}

fn signed_digest(bundle: &Bundle, original: &Digest) -> Result<Digest, BundleError> {
    // An edit has no anchor.
    let bundle = bundle.digest(None)?;
    Ok(Digest::tagged(
        "birthmark/edit/v1",
        &[bundle.as_bytes(), original.as_bytes()],
    ))
}

impl EditSubmission {
    /// Puts a request together.
    pub fn new(claims: &EditClaims, certificate_der: &[u8], signature: &Signature) -> Self {
        Self {
            image_hash: claims.image,
            image_data_hash: claims.image_data,
            modification_level: claims.level,
            parent_image_hash: claims.original,
            timestamp: claims.time,
            software_cert: STANDARD.encode(certificate_der),
            bundle_signature: STANDARD.encode(signature.to_der()),
        }
    }
}

impl Edit {
    /// Reads the body of a request with `software_cert` that came to `/api/v1/submit-cert`.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        Form::read(body, MAX_SUBMISSION, |form| {
            if form.has("camera_cert") {
                return Err(form.wrong("camera_cert", "a camera registers no edits"));
            }
            let claims = claims(&form)?;
            let bundle = claims
                .bundle()
                .map_err(|problem| form.wrong("image_data_hash", problem))?;
            Ok(Self {
                bundle,
                original: claims.original,
                certificate: certificate(&form)?,
                signature: signature(&form)?,
            })
        })
    }

    /// What the software signed.
    pub fn signed_digest(&self) -> Result<Digest, BundleError> {
        signed_digest(&self.bundle, &self.original)
    }

    /// Succeeds when the certificate's key signed exactly this edit.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let signed = self.signed_digest().map_err(|_| SignatureError::Mismatch)?;
        self.certificate
            .key()
            .verify_digest(&signed, &self.signature)
    }
}

fn claims(form: &Form<'_>) -> Result<EditClaims, RequestError> {
    let claims = EditClaims {
        image: form.digest("image_hash")?,
        image_data: form.optional_digest("image_data_hash")?,
        level: form.number("modification_level")?,
        original: form.digest("parent_image_hash")?,
        time: form.timestamp("timestamp")?,
    };
    if claims.level == ModificationLevel::RAW {
        return Err(form.wrong("modification_level", "an edit has level 1 or 2"));
    }
    if [Some(claims.image), claims.image_data].contains(&Some(claims.original)) {
        return Err(form.wrong("parent_image_hash", "a photo is not its own parent"));
    }
    Ok(claims)
}

fn certificate(form: &Form<'_>) -> Result<SoftwareCertificate, RequestError> {
    let name = "software_cert";
    let der = STANDARD
        .decode(form.text(name)?.trim())
        .map_err(|_| form.wrong(name, "expected base64"))?;
    SoftwareCertificate::from_pem_or_der(&der).map_err(|problem| form.wrong(name, problem))
}

fn signature(form: &Form<'_>) -> Result<Signature, RequestError> {
    let name = "bundle_signature";
    let read = STANDARD
        .decode(form.text(name)?.trim())
        .ok()
        .and_then(|der| Signature::from_der(&der).ok());
    read.ok_or_else(|| form.wrong(name, "expected an ECDSA P-256 signature, DER in base64"))
}
