//! What camera certificates, software certificates and those of their issuers have in common.

use std::borrow::Cow;

use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, Utf8StringRef};
use der::{Decode, Reader as _, SliceReader};
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::{CertificateError, MAX_DER};
use crate::numbers::Timestamp;
use crate::numbers::at_most;
use crate::public_key::{Signature, SignatureError};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// One of our extensions: where it stands and what people call it.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) arc: ObjectIdentifier,
    pub(crate) number: u32,
    pub(crate) name: &'static str,
}

impl Slot {
    fn oid(self) -> Option<ObjectIdentifier> {
        self.arc.push_arc(self.number).ok()
    }

    pub(crate) fn wrong(self, reason: impl ToString) -> CertificateError {
        CertificateError::Extension(self.name, reason.to_string())
    }

    /// The value of the one extension that stands here.
    pub(crate) fn find(self, extensions: &[Extension]) -> Result<&[u8], CertificateError> {
        let oid = self.oid();
        let mut matching = extensions
            .iter()
            .filter(|extension| Some(extension.extn_id) == oid);
        let found = matching
            .next()
            .ok_or(CertificateError::Missing(self.name))?;
        if matching.next().is_some() {
            return Err(CertificateError::Repeated(self.name));
        }
        Ok(found.extn_value.as_bytes())
    }

    /// A text that stands here, in DER or raw.
    pub(crate) fn text(self, extensions: &[Extension]) -> Result<String, CertificateError> {
        let value = self.find(extensions)?;
        let text = match Utf8StringRef::from_der(value) {
            Ok(text) => text.as_str(),
            Err(_) => std::str::from_utf8(value).map_err(|error| self.wrong(error))?,
        };
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            return Err(self.wrong("expected 1 to 255 bytes of text without control characters"));
        }
        Ok(text.to_owned())
    }

    /// The extension with this value in DER, not critical.
    pub(crate) fn extension(
        self,
        value: der::Result<Vec<u8>>,
    ) -> Result<Extension, CertificateError> {
        let extn_id = self.oid().ok_or(CertificateError::Missing(self.name))?;
        let extn_value = value
            .and_then(OctetString::new)
            .map_err(|error| self.wrong(error))?;
        Ok(Extension {
            extn_id,
            critical: false,
            extn_value,
        })
    }
}

pub(super) fn parse(der: &[u8]) -> Result<(Certificate, Vec<u8>), CertificateError> {
    if der.len() > MAX_DER {
        return Err(CertificateError::TooLarge(der.len()));
    }
    let certificate = Certificate::from_der(der).map_err(malformed)?;
    if certificate.signature_algorithm().oid != ECDSA_WITH_SHA256 {
        return Err(CertificateError::Algorithm(
            certificate.signature_algorithm().oid,
        ));
    }
    // The signature covers the bytes as sent, which need not be the bytes we would write.
    let mut reader = SliceReader::new(der).map_err(malformed)?;
    der::Header::decode(&mut reader).map_err(malformed)?;
    let tbs = reader.tlv_bytes().map_err(malformed)?.to_vec();
    Ok((certificate, tbs))
}

pub(super) fn malformed(error: der::Error) -> CertificateError {
    CertificateError::Malformed(error.to_string())
}

pub(super) fn unwrap_pem(bytes: &[u8]) -> Result<Cow<'_, [u8]>, CertificateError> {
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Ok(Cow::Borrowed(bytes));
    }
    let (label, der) = der::pem::decode_vec(bytes.trim_ascii_start())
        .map_err(|error| CertificateError::Malformed(error.to_string()))?;
    if label == "CERTIFICATE" {
        Ok(Cow::Owned(der))
    } else {
        Err(CertificateError::Malformed(format!("PEM holds a {label}")))
    }
}

pub(super) fn is_authority(certificate: &Certificate) -> Result<bool, CertificateError> {
    Ok(authority_over(certificate)?.is_some())
}

/// For a CA's certificate, how many others may stand between it and a leaf, if it says so; nothing
/// for any other.
pub(super) fn authority_over(
    certificate: &Certificate,
) -> Result<Option<Option<u8>>, CertificateError> {
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>();
    let constraints =
        constraints.map_err(|error| CertificateError::Malformed(error.to_string()))?;
    Ok(constraints
        .filter(|(_, value)| value.ca)
        .map(|(_, value)| value.path_len_constraint))
}

/// Critical extensions that are read here, or that allow no less than what the certificate is used
/// for here.
const UNDERSTOOD: [&str; 4] = [
    // Basic constraints, key usage, extended key usage, certificate policies.
    "2.5.29.19",
    "2.5.29.15",
    "2.5.29.37",
    "2.5.29.32",
];
/// What all arcs of ours begin with.
const OURS: &str = "1.3.6.1.4.1.60000.";

/// RFC 5280: a certificate with a critical extension that is not understood is not used, and a key
/// signs what it was certified for and nothing else. Older certificates name no usage.
pub(super) fn check_usage(
    certificate: &Certificate,
    wanted: KeyUsages,
) -> Result<(), CertificateError> {
    let body = certificate.tbs_certificate();
    for extension in body.extensions().map_or(&[][..], Vec::as_slice) {
        let name = extension.extn_id.to_string();
        if extension.critical && !name.starts_with(OURS) && !UNDERSTOOD.contains(&name.as_str()) {
            return Err(CertificateError::Critical(extension.extn_id));
        }
    }
    let usage = body.get_extension::<KeyUsage>();
    match usage.map_err(|error| CertificateError::Malformed(error.to_string()))? {
        Some((_, usage)) if !usage.0.contains(wanted) => Err(CertificateError::Usage),
        _ => Ok(()),
    }
}

pub(super) fn signature_of(certificate: &Certificate) -> Result<Signature, CertificateError> {
    let bytes = certificate
        .signature()
        .as_bytes()
        .ok_or(SignatureError::Encoding)?;
    Ok(Signature::from_der(bytes)?)
}

pub(super) fn validity_of(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let validity = certificate.tbs_certificate().validity();
    let unix = |time: x509_cert::time::Time| {
        Timestamp::from_unix(at_most(time.to_unix_duration().as_secs()))
    };
    (unix(validity.not_before), unix(validity.not_after))
}
