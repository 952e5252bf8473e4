//! The certificate authority: a root that is offline after set-up, and intermediates that certify
//! cameras.

mod build;
mod key;

use birthmark_protocol::certificate::IssuerCertificate;
use birthmark_protocol::{
    CameraExtensions, DeviceKey, Digest, KeyId, PublicKey, Signature, Timestamp,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use der::{Decode, Encode};
use x509_cert::Certificate;

pub use birthmark_protocol::pem::{certificate as pem, public_key as spki_pem};
pub use build::{Request, authority_key, certificate_serial, time};
pub use key::{FastKey, KeyError, PrivateKey};

use crate::settings::Settings;

/// Ten years.
const ROOT_DAYS: i64 = 3653;
/// Five years.
const INTERMEDIATE_DAYS: i64 = 1826;
/// Verdict keys are replaced each year; what they signed stays checkable.
const VERDICT_DAYS: i64 = 366;
/// Responders are replaced long before.
const RESPONDER_DAYS: i64 = 30;
/// Clocks of clients may be behind ours by this much.
const SKEW: i64 = 300;
/// The purpose of a verdict key, in its certificate. Not under the camera arc, so that it is never
/// taken for a camera's.
pub const VERDICT_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.60000.3.1");
/// The policy under which a camera is certified whose TPM attested its key.
pub const ATTESTED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.60000.3.2");

/// A certificate of the authority and, unless it is kept elsewhere, its private key.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The private key.
    pub key: PrivateKey,
    /// The certificate, parsed.
    pub certificate: Certificate,
    /// The certificate in DER.
    pub der: Vec<u8>,
}

/// Why something could not be certified.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The authority's own certificate has expired.
    #[error("the issuing certificate expired")]
    Expired,
    /// A certificate and a key that do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The certificate is not one a CA may use.
    #[error("not a usable CA certificate: {0}")]
    Certificate(#[from] birthmark_protocol::CertificateError),
    /// Building failed.
    #[error("the certificate could not be built: {0}")]
    Build(#[from] x509_cert::builder::Error),
    /// Encoding failed.
    #[error("the certificate could not be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// No key could be drawn or read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What is certified about a camera.
#[derive(Debug)]
pub struct CameraSubject<'a> {
    /// Its public key.
    pub key: &'a DeviceKey,
    /// Our extensions.
    pub extensions: CameraExtensions,
    /// Whether a TPM attested the key; the certificate then says so.
    pub attested: bool,
}

impl Issuer {
    /// Puts a certificate and its key together.
    pub fn new(der: Vec<u8>, key: PrivateKey) -> Result<Self, CaError> {
        let pinned = IssuerCertificate::from_pem_or_der(&der)?;
        if pinned.key != key.public() {
            return Err(CaError::Mismatch);
        }
        let certificate = Certificate::from_der(&der)?;
        Ok(Self {
            key,
            certificate,
            der,
        })
    }

    /// Makes a root: its own issuer.
    pub fn root(settings: &Settings, now: Timestamp) -> Result<Self, CaError> {
        let key = PrivateKey::generate()?;
        let name = build::name(settings, &format!("{} Root CA", settings.manufacturer_id))?;
        let request = Request::authority(name.clone(), days(now, ROOT_DAYS), None);
        let der = request.sign(&key.public().to_spki_der(), &key, &name, None)?;
        Self::new(der, key)
    }

    /// Makes an intermediate under this root.
    pub fn intermediate(&self, settings: &Settings, now: Timestamp) -> Result<Self, CaError> {
        let key = PrivateKey::generate()?;
        let tail = hex::encode(key.public().id().as_bytes().split_at(2).0);
        let name = build::name(
            settings,
            &format!("{} Camera CA {tail}", settings.manufacturer_id),
        )?;
        let mut request = Request::authority(name, days(now, INTERMEDIATE_DAYS), Some(0));
        request.cut_to(self.validity());
        let der = self.sign(request, &key.public().to_spki_der(), now)?;
        Self::new(der, key)
    }

    /// Certifies a new verdict key.
    pub fn verdict_key(
        &self,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(PrivateKey, Vec<u8>), CaError> {
        let key = PrivateKey::generate()?;
        let name = build::name(settings, &format!("{} Verdicts", settings.manufacturer_id))?;
        let mut request = Request::leaf(name, days(now, VERDICT_DAYS));
        request.purpose(VERDICT_SIGNING)?;
        request.cut_to(self.validity());
        let der = self.sign(request, &key.public().to_spki_der(), now)?;
        Ok((key, der))
    }

    /// Certifies a new key that answers about single certificates, and says until when it may.
    pub fn responder(
        &self,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(PrivateKey, Vec<u8>, Timestamp), CaError> {
        let key = PrivateKey::generate()?;
        let name = build::name(settings, &format!("{} Status", settings.manufacturer_id))?;
        let mut request = Request::leaf(name, days(now, RESPONDER_DAYS));
        request.purpose(ID_KP_OCSP_SIGNING)?;
        request.unchecked()?;
        request.cut_to(self.validity());
        let until = request.end();
        let der = self.sign(request, &key.public().to_spki_der(), now)?;
        Ok((key, der, until))
    }

    /// Certifies a camera. The subject names the model, never the camera: every node sees the
    /// certificate.
    pub fn certify(
        &self,
        settings: &Settings,
        subject: CameraSubject<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, CaError> {
        let name = build::name(settings, "Birthmark Camera")?;
        let mut request = Request::leaf(
            name,
            days(now, i64::from(settings.certificates.device_days)),
        );
        request.cut_to(self.validity());
        request.add_all(subject.extensions.write()?);
        if subject.attested {
            request.policy(ATTESTED)?;
        }
        if let Some(url) = &settings.public_url {
            request.point_to(url)?;
        }
        self.sign(request, &subject.key.to_spki_der(), now)
    }

    fn sign(&self, request: Request, spki_der: &[u8], now: Timestamp) -> Result<Vec<u8>, CaError> {
        if now > self.not_after() {
            return Err(CaError::Expired);
        }
        let subject = self.certificate.tbs_certificate().subject().clone();
        request.sign(spki_der, &self.key, &subject, Some(&self.certificate))
    }

    /// Until when the issuer may sign.
    pub fn not_after(&self) -> Timestamp {
        validity(&self.certificate).1
    }

    /// From when to when the certificate is valid.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        validity(&self.certificate)
    }

    /// The key's short name.
    pub fn id(&self) -> KeyId {
        self.public().id()
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }
}

fn days(now: Timestamp, days: i64) -> (Timestamp, Timestamp) {
    (now.plus(-SKEW), now.plus(days * 86400))
}

/// From when to when a certificate is valid.
pub fn validity(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let validity = certificate.tbs_certificate().validity();
    // X.509 knows no year after 9999.
    let unix = |time: x509_cert::time::Time| {
        Timestamp::from_unix(time.to_unix_duration().as_secs().cast_signed())
    };
    (unix(validity.not_before), unix(validity.not_after))
}

/// SHA-256 of the key in a certificate, as it is remembered of those that were issued.
pub fn key_hash(certificate: &Certificate) -> Result<Digest, der::Error> {
    let spki = certificate.tbs_certificate().subject_public_key_info();
    let spki = spki.to_der()?;
    // Cameras' keys have one form; what is none of these is remembered as it came.
    let key = DeviceKey::from_spki_der(&spki).map_or(spki, |key| key.to_spki_der());
    Ok(Digest::of(&key))
}

/// The public key of any certificate of ours in DER.
pub fn public_key_of(der: &[u8]) -> Result<PublicKey, CaError> {
    let certificate = Certificate::from_der(der)?;
    let spki = certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()?;
    Ok(PublicKey::from_spki_der(&spki).map_err(birthmark_protocol::CertificateError::from)?)
}

/// Whether `issuer` signed this certificate.
pub fn is_signed_by(der: &[u8], issuer: &PublicKey) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else {
        return false;
    };
    let signature = certificate
        .signature()
        .as_bytes()
        .and_then(|bytes| Signature::from_der(bytes).ok());
    let signed = certificate.tbs_certificate().to_der().ok();
    match (signed, signature) {
        (Some(signed), Some(signature)) => issuer.verify(&signed, &signature).is_ok(),
        _ => false,
    }
}
