//! The makers of TPMs whose chips are believed.
//!
//! Whoever can put a certificate into the folder can have software pass as a chip.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature as aws;
use birthmark_protocol::Timestamp;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use der::{Decode, Encode, Reader as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;

use crate::issue::ca;

/// The makers' certificates.
#[derive(Debug)]
pub struct Makers(Vec<Certificate>);

/// Why no maker vouches for a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MakerError {
    /// Not X.509.
    #[error("the endorsement certificate is malformed")]
    Malformed,
    /// No certificate in the folder signed it.
    #[error("the endorsement certificate is of no maker this authority knows")]
    Unknown,
    /// Out of date.
    #[error("the endorsement certificate, or its issuer's, is not valid at this time")]
    Expired,
}

impl Makers {
    /// Reads all PEM files in `folder`. Roots and intermediates stand side by side; each intermediate's root must be there.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut certificates = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "pem" || extension == "crt")
            {
                let text = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
                let read = Certificate::load_pem_chain(&text)
                    .with_context(|| format!("{}", path.display()))?;
                certificates.extend(read);
            }
        }
        let makers = Self(certificates);
        ensure!(
            !makers.0.is_empty(),
            "{} holds no certificate (*.pem, *.crt)",
            folder.display()
        );
        for certificate in &makers.0 {
            let subject = certificate.tbs_certificate().subject();
            ensure!(
                may_sign(certificate),
                "{subject} is not a certificate that may sign others"
            );
            let der = certificate.to_der()?;
            ensure!(
                makers.issuer_of(certificate, &der).is_some(),
                "the issuer of {subject} is not in {}",
                folder.display()
            );
        }
        Ok(makers)
    }

    fn issuer_of(&self, certificate: &Certificate, der: &[u8]) -> Option<&Certificate> {
        let name = certificate.tbs_certificate().issuer();
        self.0.iter().find(|maker| {
            maker.tbs_certificate().subject() == name && is_signed(certificate, der, maker)
        })
    }

    /// Succeeds when one of the makers signed this endorsement certificate and both are valid at `now`.
    pub fn vouch(&self, der: &[u8], now: Timestamp) -> Result<(), MakerError> {
        let certificate = Certificate::from_der(der).map_err(|_| MakerError::Malformed)?;
        let issuer = self
            .issuer_of(&certificate, der)
            .ok_or(MakerError::Unknown)?;
        let valid = |certificate: &Certificate| {
            let (from, until) = ca::validity(certificate);
            from <= now && now <= until
        };
        if valid(&certificate) && valid(issuer) {
            Ok(())
        } else {
            Err(MakerError::Expired)
        }
    }
}

fn may_sign(certificate: &Certificate) -> bool {
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>();
    constraints
        .ok()
        .flatten()
        .is_some_and(|(_, constraints)| constraints.ca)
}

fn algorithm(oid: ObjectIdentifier) -> Option<&'static dyn aws::VerificationAlgorithm> {
    Some(match oid {
        SHA_256_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA256,
        SHA_384_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA384,
        SHA_512_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA512,
        ECDSA_WITH_SHA_256 => &aws::ECDSA_P256_SHA256_ASN1,
        ECDSA_WITH_SHA_384 => &aws::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// Whether `issuer` signed the certificate with these bytes.
fn is_signed(certificate: &Certificate, der: &[u8], issuer: &Certificate) -> bool {
    let key = issuer.tbs_certificate().subject_public_key_info();
    let parts = (
        algorithm(certificate.signature_algorithm().oid),
        key.subject_public_key.as_bytes(),
        certificate.signature().as_bytes(),
        signed_part(der),
    );
    let (Some(algorithm), Some(key), Some(signature), Some(signed)) = parts else {
        return false;
    };
    aws::UnparsedPublicKey::new(algorithm, key)
        .verify(signed, signature)
        .is_ok()
}

/// The bytes the issuer signed, as they were sent.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut reader = der::SliceReader::new(der).ok()?;
    der::Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}
