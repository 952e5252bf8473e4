//! Edited images: registered by editing software with a certificate of a pinned software authority.
//!
//! The certificate carries four extensions under the arc `1.3.6.1.4.1.60000.2`: developer, endpoint, application, version.
//! The software signs `SHA-256("birthmark/edit/v1" ‖ bundle digest ‖ original)`. Nothing is fetched from the endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_ledger::Label;
use birthmark_protocol::{
    Bundle, Digest, DigestRole, ImageClaim, ModificationLevel, PublicKey, Signature, Timestamp,
};
use const_oid::ObjectIdentifier;
use der::asn1::Utf8StringRef;
use der::{Decode as _, Encode as _, Reader as _};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use super::{Asked, Refused, Request, check_time, draw_opening};
use crate::authorities::{AuthorityBook, Issuer};
use crate::signatures;

/// The arc of the software extensions.
pub const SOFTWARE_ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.60000.2");
const LARGEST: usize = 16 * 1024;

/// The request that registers an edit, for `/api/v1/submit-cert`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EditSubmission {
    /// The edited file's digest.
    pub image_hash: Digest,
    /// The digest of its image data, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_data_hash: Option<Digest>,
    /// 1 lightly edited, 2 content changed.
    pub modification_level: ModificationLevel,
    /// The registered image it was made from.
    pub parent_image_hash: Digest,
    /// When it was edited.
    pub timestamp: Timestamp,
    /// The software's certificate, DER in base64.
    pub software_cert: String,
    /// Over [`EditSubmission::signed_digest`], DER in base64.
    pub bundle_signature: String,
}

/// What a software certificate says.
#[derive(Clone, Debug)]
pub struct SoftwareCertificate {
    tbs: Vec<u8>,
    signature: Signature,
    key: PublicKey,
    serial: Vec<u8>,
    validity: (Timestamp, Timestamp),
    /// Who makes the software.
    pub developer: String,
    /// The application and its version.
    pub application: String,
}

impl EditSubmission {
    /// The claims as they are signed and registered.
    pub fn bundle(&self) -> Result<Bundle, Refused> {
        let file = ImageClaim {
            digest: self.image_hash,
            role: DigestRole::File,
            level: self.modification_level,
            parent: None,
        };
        let data = self.image_data_hash.map(|digest| ImageClaim {
            digest,
            role: DigestRole::ImageData,
            parent: Some(self.image_hash),
            ..file
        });
        let images = std::iter::once(file).chain(data).collect();
        Bundle::new(images, self.timestamp, None).map_err(|error| Refused::Edit(error.to_string()))
    }

    /// What the software signs.
    pub fn signed_digest(bundle: &Bundle, original: &Digest) -> Digest {
        Digest::tagged(
            "birthmark/edit/v1",
            &[bundle.digest().as_bytes(), original.as_bytes()],
        )
    }

    /// Checks certificate and signature; whether the original is registered is asked elsewhere.
    pub fn check(
        &self,
        book: &AuthorityBook,
        now: Timestamp,
    ) -> Result<(Bundle, Request), Refused> {
        check_time(self.timestamp, now)?;
        if self.modification_level == ModificationLevel::RAW {
            return Err(Refused::Level);
        }
        let bundle = self.bundle()?;
        let wrong = |what: &str| Refused::Edit(format!("{what} is malformed"));
        let der = STANDARD
            .decode(self.software_cert.trim())
            .map_err(|_| wrong("software_cert"))?;
        let certificate = SoftwareCertificate::from_der(&der).map_err(Refused::Edit)?;
        let authority = certificate.authority(book, now)?;
        let signature = STANDARD
            .decode(self.bundle_signature.trim())
            .map_err(|_| wrong("bundle_signature"))?;
        let signature = Signature::from_der(&signature).map_err(|_| wrong("bundle_signature"))?;
        let signed = Self::signed_digest(&bundle, &self.parent_image_hash);
        if !signatures::verify_digest(&certificate.key, &signed, &signature) {
            return Err(Refused::Signature);
        }
        let asked = Asked::Software {
            authority,
            family: certificate.application.clone(),
            original: self.parent_image_hash,
        };
        let request = Request::new(
            &bundle,
            &draw_opening()?,
            true,
            &Digest::of(&der),
            None,
            asked,
        );
        Ok((bundle, request))
    }
}

impl SoftwareCertificate {
    /// Reads a certificate; proves nothing yet.
    pub fn from_der(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LARGEST {
            return Err("software_cert is larger than a certificate".into());
        }
        let malformed = |error: der::Error| format!("software_cert is no certificate: {error}");
        let certificate = Certificate::from_der(bytes).map_err(malformed)?;
        let mut reader = der::SliceReader::new(bytes).map_err(malformed)?;
        der::Header::decode(&mut reader).map_err(malformed)?;
        let tbs = reader.tlv_bytes().map_err(malformed)?.to_vec();
        let body = certificate.tbs_certificate();
        let spki = body.subject_public_key_info().to_der().map_err(malformed)?;
        let signature = certificate.signature().as_bytes().unwrap_or_default();
        let text = |arc| extension(&certificate, arc);
        Ok(Self {
            tbs,
            signature: Signature::from_der(signature)
                .map_err(|error| format!("software_cert: {error}"))?,
            key: PublicKey::from_spki_der(&spki)
                .map_err(|error| format!("software_cert: {error}"))?,
            serial: body.serial_number().as_bytes().to_vec(),
            validity: (
                moment(body.validity().not_before),
                moment(body.validity().not_after),
            ),
            developer: text(1)?,
            application: format!("{} {}", text(3)?, text(4)?),
        })
    }

    fn authority(&self, book: &AuthorityBook, now: Timestamp) -> Result<String, Refused> {
        let signed = |issuer: &Issuer| {
            signatures::verify(&issuer.certificate.key, &self.tbs, &self.signature)
        };
        let found = book.software().find_map(|(name, issuers)| {
            Some((name, issuers.iter().find(|issuer| signed(issuer))?))
        });
        let (name, issuer) = found.ok_or(Refused::UnknownIssuer)?;
        if issuer.has_revoked(&self.serial) {
            return Err(Refused::Revoked);
        }
        match self.validity {
            (_, until) if now > until => Err(Refused::Expired { until }),
            (from, _) if now < from => Err(Refused::NotYetValid { from }),
            _ => Ok(name.to_owned()),
        }
    }
}

fn extension(certificate: &Certificate, arc: u32) -> Result<String, String> {
    let missing = || format!("software_cert has no extension {SOFTWARE_ARC}.{arc}");
    let oid = SOFTWARE_ARC.push_arc(arc).map_err(|_| missing())?;
    let extensions = certificate
        .tbs_certificate()
        .extensions()
        .map_or(&[][..], Vec::as_slice);
    let value = extensions
        .iter()
        .find(|extension| extension.extn_id == oid)
        .ok_or_else(missing)?
        .extn_value
        .as_bytes();
    let text = Utf8StringRef::from_der(value)
        .map_err(|_| format!("extension {oid} of software_cert is no text"))?;
    Label::new(text.as_str())
        .map(String::from)
        .map_err(|error| format!("extension {oid} of software_cert: {error}"))
}

fn moment(time: x509_cert::time::Time) -> Timestamp {
    Timestamp::from_unix(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}
