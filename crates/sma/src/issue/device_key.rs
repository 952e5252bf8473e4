//! The public key a camera brings: in PEM, or in a request that proves it has the private key.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use birthmark_protocol::DeviceKey;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use der::{Decode, Encode, Reader as _};
use x509_cert::request::CertReq;

/// No key or request is larger.
const LARGEST: usize = 16 * 1024;

/// Why a camera's key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// Not PEM of the right kind.
    #[error("expected PEM with {0}")]
    Pem(&'static str),
    /// A key we do not certify.
    #[error("expected a P-256 key, or RSA of at least 2048 bits")]
    Kind,
    /// The request is not one.
    #[error("not a PKCS#10 request")]
    Request,
    /// The request is signed in a way we do not check.
    #[error("the request's signature algorithm {0} is not accepted")]
    Algorithm(String),
    /// Another key signed the request.
    #[error("the request's signature does not match its key")]
    Signature,
}

fn unwrap(pem: &str, labels: &[&str], expected: &'static str) -> Result<Vec<u8>, DeviceKeyError> {
    if pem.len() > LARGEST {
        return Err(DeviceKeyError::Pem(expected));
    }
    let (label, der) =
        der::pem::decode_vec(pem.trim().as_bytes()).map_err(|_| DeviceKeyError::Pem(expected))?;
    if labels.contains(&label) {
        Ok(der)
    } else {
        Err(DeviceKeyError::Pem(expected))
    }
}

/// Reads SubjectPublicKeyInfo in PEM.
pub fn from_pem(pem: &str) -> Result<DeviceKey, DeviceKeyError> {
    let der = unwrap(pem, &["PUBLIC KEY"], "BEGIN PUBLIC KEY")?;
    DeviceKey::from_spki_der(&der).map_err(|_| DeviceKeyError::Kind)
}

/// Reads a PKCS#10 request in PEM and checks that it is signed by its own key.
pub fn from_csr(pem: &str) -> Result<DeviceKey, DeviceKeyError> {
    let der = unwrap(
        pem,
        &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"],
        "BEGIN CERTIFICATE REQUEST",
    )?;
    let request = CertReq::from_der(&der).map_err(|_| DeviceKeyError::Request)?;
    let spki = &request.info.public_key;
    let key = DeviceKey::from_spki_der(&spki.to_der().map_err(|_| DeviceKeyError::Request)?)
        .map_err(|_| DeviceKeyError::Kind)?;
    let algorithm: &'static dyn VerificationAlgorithm = match (&key, request.algorithm.oid) {
        (DeviceKey::P256(_), ECDSA_WITH_SHA_256) => &ECDSA_P256_SHA256_ASN1,
        (DeviceKey::Rsa { .. }, SHA_256_WITH_RSA_ENCRYPTION) => &RSA_PKCS1_2048_8192_SHA256,
        (DeviceKey::Rsa { .. }, SHA_384_WITH_RSA_ENCRYPTION) => &RSA_PKCS1_2048_8192_SHA384,
        (DeviceKey::Rsa { .. }, SHA_512_WITH_RSA_ENCRYPTION) => &RSA_PKCS1_2048_8192_SHA512,
        (_, other) => return Err(DeviceKeyError::Algorithm(other.to_string())),
    };
    let parts = (
        spki.subject_public_key.as_bytes(),
        request.signature.as_bytes(),
        signed_part(&der),
    );
    let (Some(point), Some(signature), Some(signed)) = parts else {
        return Err(DeviceKeyError::Request);
    };
    UnparsedPublicKey::new(algorithm, point)
        .verify(signed, signature)
        .map_err(|_| DeviceKeyError::Signature)?;
    Ok(key)
}

/// The bytes the camera signed, as they were sent.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut reader = der::SliceReader::new(der).ok()?;
    der::Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}
