//! A certificate that signs no others: a camera's or an editing program's. What they share is
//! written once.

use der::Encode as _;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;

use super::x509::{
    check_usage, is_authority, malformed, parse, signature_of, unwrap_pem, validity_of,
};
use super::{CertificateError, GRACE};
use crate::numbers::Timestamp;
use crate::public_key::{PublicKey, Signature};

/// The extensions that make one kind of leaf, and the keys it may be about.
pub trait LeafExtensions: Sized {
    /// The key such a certificate is about.
    type Key;

    /// Reads the extensions of a certificate.
    fn read(extensions: &[Extension]) -> Result<Self, CertificateError>;

    /// Reads a SubjectPublicKeyInfo.
    fn read_key(spki_der: &[u8]) -> Result<Self::Key, CertificateError>;
}

/// A parsed certificate. Parsing proves nothing: see [`Leaf::verify_issuer`].
#[derive(Clone, Debug)]
pub struct Leaf<E: LeafExtensions> {
    der: Vec<u8>,
    tbs: Vec<u8>,
    signature: Signature,
    extensions: E,
    key: E::Key,
    serial: Vec<u8>,
    validity: (Timestamp, Timestamp),
}

impl<E: LeafExtensions> Leaf<E> {
    /// Reads a certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (certificate, tbs) = parse(der)?;
        if is_authority(&certificate)? {
            return Err(CertificateError::IsAuthority);
        }
        check_usage(&certificate, KeyUsages::DigitalSignature)?;
        let body = certificate.tbs_certificate();
        let spki = body.subject_public_key_info().to_der().map_err(malformed)?;
        Ok(Self {
            der: der.to_vec(),
            tbs,
            signature: signature_of(&certificate)?,
            extensions: E::read(body.extensions().map_or(&[], Vec::as_slice))?,
            key: E::read_key(&spki)?,
            serial: body.serial_number().as_bytes().to_vec(),
            validity: validity_of(&certificate),
        })
    }

    /// Reads PEM or DER.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::from_der(&unwrap_pem(bytes)?)
    }

    /// The certificate as it was sent.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The bytes its issuer signed.
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs
    }

    /// The issuer's signature over them.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Our extensions.
    pub const fn extensions(&self) -> &E {
        &self.extensions
    }

    /// The device's key.
    pub const fn key(&self) -> &E::Key {
        &self.key
    }

    /// The serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// First and last moment of validity.
    pub const fn validity(&self) -> (Timestamp, Timestamp) {
        self.validity
    }

    /// Whether a photo under this certificate may be handed in at `now`: from the first moment of
    /// its validity until the grace after its last is over.
    pub fn serves_at(&self, now: Timestamp) -> bool {
        self.validity.0 <= now && now <= self.validity.1.plus(GRACE)
    }

    /// Succeeds when `issuer` signed this certificate. Names are not compared: in the field they do
    /// not match.
    pub fn verify_issuer(&self, issuer: &PublicKey) -> Result<(), CertificateError> {
        Ok(issuer.verify(&self.tbs, &self.signature)?)
    }
}
