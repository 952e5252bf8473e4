//! Camera certificates: X.509 with six extensions of ours.
//!
//! Ours hold proper DER inside each extension; certificates already in the field hold raw bytes.
//! Both are read, DER first.

mod chain;
mod leaf;
mod x509;

use const_oid::ObjectIdentifier;
use der::asn1::{OctetStringRef, Utf8StringRef};
use der::{Decode, Encode, Reader as _, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;

use crate::digest::Digest;
use crate::numbers::{KeyIndex, OutOfRange, TableId, Timestamp};
use crate::public_key::{PublicKey, Signature, SignatureError};
use crate::token::{CameraToken, SealedNuc, TokenFormatError};

pub use chain::{ChainError, Link};
pub use leaf::{Leaf, LeafExtensions};
pub(crate) use x509::Slot;
use x509::{authority_over, check_usage, malformed, parse, signature_of, unwrap_pem, validity_of};

/// The arc all our extensions live under. 60000 is the documents' placeholder until an enterprise
/// number is assigned.
pub const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.60000.1");
/// No certificate of ours is larger.
pub const MAX_DER: usize = 16 * 1024;

/// How long after its certificate's end a photo may still be handed in, in seconds: half a year. A
/// camera that was offline loses no photo that it took in time.
pub const GRACE: i64 = 180 * 86_400;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What a camera certificate says beyond X.509.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CameraExtensions {
    /// Which authority.
    pub manufacturer_id: String,
    /// Where its nodes would ask it. Honoured only when their own configuration lists it.
    pub ma_endpoint: String,
    /// The NUC hash under a table key, with the table and index.
    pub token: CameraToken,
    /// Which model of camera.
    pub device_family: String,
}

/// The key a certificate is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeviceKey {
    /// Ours.
    P256(PublicKey),
    /// Clients of the authority's plan bring RSA keys. They can be certified, but sign nothing we
    /// check.
    Rsa {
        /// Length of the modulus.
        bits: usize,
        /// SubjectPublicKeyInfo.
        spki_der: Vec<u8>,
    },
}

/// A camera's certificate.
pub type CameraCertificate = Leaf<CameraExtensions>;

/// An authority's own certificate, pinned in a configuration.
#[derive(Clone, Debug)]
pub struct IssuerCertificate {
    /// The key that signs certificates.
    pub key: PublicKey,
    /// First and last moment it may sign.
    pub validity: (Timestamp, Timestamp),
    /// The subject, for people.
    pub subject: String,
    /// How many certificates may stand between it and a leaf; any number if none is said.
    allows: Option<u8>,
    /// Whether its subject is its issuer.
    names_itself: bool,
    tbs: Vec<u8>,
    signature: Signature,
}

/// Why bytes are not a certificate we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Larger than any certificate of ours.
    #[error("{0} bytes are more than such a certificate has")]
    TooLarge(usize),
    /// Not X.509 in DER.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// Signed in a way we do not check.
    #[error("signature algorithm {0} is not ecdsa-with-SHA256")]
    Algorithm(ObjectIdentifier),
    /// A certificate that may sign others signs no photos.
    #[error("the certificate is a CA's, which signs certificates and no photos")]
    IsAuthority,
    /// A camera certificate was given where a CA's belongs.
    #[error("the certificate may not sign others (no CA:TRUE)")]
    NotAuthority,
    /// RFC 5280 forbids to go on with what is not understood.
    #[error("the critical extension {0} is not understood")]
    Critical(ObjectIdentifier),
    /// Its key usage forbids what it is used for.
    #[error("the certificate's key usage does not allow this")]
    Usage,
    /// One of our extensions is absent.
    #[error("extension {0} is missing")]
    Missing(&'static str),
    /// An extension that stands twice can be read in two ways.
    #[error("extension {0} stands twice")]
    Repeated(&'static str),
    /// An extension holds something else.
    #[error("extension {0} is malformed: {1}")]
    Extension(&'static str, String),
    /// A key of another kind.
    #[error("the certificate's key is neither P-256 nor RSA of at least 2048 bits")]
    Key,
    /// The signature is malformed or does not hold.
    #[error("certificate signature: {0}")]
    Signature(#[from] SignatureError),
}

#[derive(Clone, Copy)]
enum Field {
    ManufacturerId = 1,
    MaEndpoint = 2,
    EncryptedNuc = 3,
    KeyTableId = 4,
    KeyIndex = 5,
    DeviceFamily = 6,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::ManufacturerId => "manufacturerID",
            Self::MaEndpoint => "maEndpoint",
            Self::EncryptedNuc => "encryptedNUC",
            Self::KeyTableId => "keyTableID",
            Self::KeyIndex => "keyIndex",
            Self::DeviceFamily => "deviceFamily",
        }
    }

    const fn slot(self) -> Slot {
        Slot {
            arc: ARC,
            number: self as u32,
            name: self.name(),
        }
    }
}

impl LeafExtensions for CameraExtensions {
    type Key = DeviceKey;

    fn read(extensions: &[Extension]) -> Result<Self, CertificateError> {
        let text = |field: Field| field.slot().text(extensions);
        let nuc = Field::EncryptedNuc.slot();
        let sealed = read_nuc(nuc.find(extensions)?).map_err(|error| nuc.wrong(error))?;
        Ok(Self {
            manufacturer_id: text(Field::ManufacturerId)?,
            ma_endpoint: text(Field::MaEndpoint)?,
            token: CameraToken {
                sealed,
                table: read_number::<TableId>(extensions, Field::KeyTableId.slot())?,
                index: read_number::<KeyIndex>(extensions, Field::KeyIndex.slot())?,
            },
            device_family: text(Field::DeviceFamily)?,
        })
    }

    fn read_key(spki_der: &[u8]) -> Result<DeviceKey, CertificateError> {
        DeviceKey::from_spki_der(spki_der)
    }
}

impl CameraExtensions {
    /// Writes the six extensions, not critical, in DER.
    pub fn write(&self) -> Result<Vec<Extension>, CertificateError> {
        let nuc = self.token.sealed.to_extension();
        let text = |text: &str| Utf8StringRef::new(text).and_then(|text| text.to_der());
        [
            (Field::ManufacturerId, text(&self.manufacturer_id)),
            (Field::MaEndpoint, text(&self.ma_endpoint)),
            (
                Field::EncryptedNuc,
                OctetStringRef::new(&nuc).and_then(|nuc| nuc.to_der()),
            ),
            (Field::KeyTableId, self.token.table.get().to_der()),
            (Field::KeyIndex, self.token.index.get().to_der()),
            (Field::DeviceFamily, text(&self.device_family)),
        ]
        .into_iter()
        .map(|(field, value)| field.slot().extension(value))
        .collect()
    }
}

impl DeviceKey {
    /// Reads a SubjectPublicKeyInfo: P-256, or RSA of at least 2048 bits.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, CertificateError> {
        if let Ok(key) = PublicKey::from_spki_der(der) {
            return Ok(Self::P256(key));
        }
        let bits = rsa_bits(der).ok_or(CertificateError::Key)?;
        if bits >= 2048 {
            Ok(Self::Rsa {
                bits,
                spki_der: der.to_vec(),
            })
        } else {
            Err(CertificateError::Key)
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.to_spki_der(),
            Self::Rsa { spki_der, .. } => spki_der.clone(),
        }
    }

    /// SHA-256 of the SubjectPublicKeyInfo: what verdicts name the key by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_spki_der())
    }

    /// The key if it is one whose signatures we check.
    pub const fn p256(&self) -> Option<&PublicKey> {
        match self {
            Self::P256(key) => Some(key),
            Self::Rsa { .. } => None,
        }
    }
}

impl IssuerCertificate {
    /// Reads a CA certificate, PEM or DER.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let der = unwrap_pem(bytes)?;
        let (certificate, tbs) = parse(&der)?;
        let allows = authority_over(&certificate)?.ok_or(CertificateError::NotAuthority)?;
        check_usage(&certificate, KeyUsages::KeyCertSign)?;
        let body = certificate.tbs_certificate();
        let spki = body.subject_public_key_info().to_der().map_err(malformed)?;
        Ok(Self {
            key: PublicKey::from_spki_der(&spki)?,
            validity: validity_of(&certificate),
            subject: body.subject().to_string(),
            allows,
            names_itself: body.subject() == body.issuer(),
            signature: signature_of(&certificate)?,
            tbs,
        })
    }
}

fn read_nuc(value: &[u8]) -> Result<SealedNuc, TokenFormatError> {
    let bytes = <&OctetStringRef>::from_der(value).map_or(value, OctetStringRef::as_bytes);
    SealedNuc::from_extension(bytes)
}

fn read_number<T: TryFrom<i64, Error = OutOfRange>>(
    extensions: &[Extension],
    slot: Slot,
) -> Result<T, CertificateError> {
    let value = slot.find(extensions)?;
    let number = match (i64::from_der(value), <[u8; 2]>::try_from(value)) {
        (Ok(number), _) => number,
        (Err(_), Ok(raw)) => i64::from(u16::from_be_bytes(raw)),
        (Err(error), Err(_)) => return Err(slot.wrong(error)),
    };
    T::try_from(number).map_err(|error| slot.wrong(error))
}

fn rsa_bits(spki_der: &[u8]) -> Option<usize> {
    let spki = spki::SubjectPublicKeyInfoOwned::from_der(spki_der).ok()?;
    if spki.algorithm.oid != RSA_ENCRYPTION {
        return None;
    }
    let mut reader = SliceReader::new(spki.subject_public_key.as_bytes()?).ok()?;
    reader
        .sequence(|inner| {
            let modulus = der::asn1::UintRef::decode(inner)?;
            let exponent = der::asn1::UintRef::decode(inner)?;
            let leading = modulus
                .as_bytes()
                .first()
                .map_or(0, |byte| byte.leading_zeros() as usize);
            let odd = exponent.as_bytes().last().is_some_and(|byte| byte % 2 == 1);
            Ok::<_, der::Error>(if odd {
                modulus.as_bytes().len() * 8 - leading
            } else {
                0
            })
        })
        .ok()
}

#[cfg(test)]
mod tests;
