//! Certificate revocation lists, RFC 5280.

use birthmark_protocol::Timestamp;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::Encode;
use der::asn1::BitString;
use p256::ecdsa::signature::Signer;
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::ToExtension;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::serial_number::SerialNumber;

use crate::issue::ca::{CaError, Issuer, authority_key, time};
use crate::judge::cameras::IssuedCertificate;

/// A list is replaced at least daily.
const NEXT: i64 = 86400;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The issuer's certificate cannot be used.
    #[error("the revocation list could not be built: {0}")]
    Build(#[from] CaError),
    /// Encoding failed.
    #[error("the revocation list could not be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The clock stands before 1970.
    #[error("the revocation list has no number: {0}")]
    Clock(#[from] std::num::TryFromIntError),
}

/// Builds and signs a list, in DER.
pub fn build(
    issuer: &Issuer,
    revoked: &[(IssuedCertificate, Timestamp)],
    now: Timestamp,
) -> Result<Vec<u8>, CrlError> {
    // The time is a number that only grows, which is all a list's number has to do.
    let number = CrlNumber::try_from(u64::try_from(now.unix())?)?;
    let body = issuer.certificate.tbs_certificate();
    // The list names the key that signs it: verifiers look for the list of the certificate's issuer
    // by it.
    let key = authority_key(&issuer.certificate)?;
    let extensions = [
        key.to_extension(body.subject(), &[])?,
        number.to_extension(body.subject(), &[])?,
    ];
    let entries = revoked.iter().map(|(certificate, since)| {
        Ok(RevokedCert {
            serial_number: SerialNumber::new(certificate.serial_bytes())?,
            revocation_date: time(*since)?,
            crl_entry_extensions: None,
        })
    });
    let entries = entries.collect::<Result<Vec<_>, der::Error>>()?;
    let algorithm = AlgorithmIdentifierOwned {
        oid: ECDSA_WITH_SHA_256,
        parameters: None,
    };
    let list = TbsCertList::<x509_cert::certificate::Rfc5280> {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: body.subject().clone(),
        this_update: time(now)?,
        next_update: Some(time(now.plus(NEXT))?),
        // An empty list of certificates must be absent altogether.
        revoked_certificates: Some(entries).filter(|entries| !entries.is_empty()),
        crl_extensions: Some(extensions.into()),
    };
    let signature: p256::ecdsa::DerSignature = issuer.key.signer().sign(&list.to_der()?);
    let list = CertificateList {
        tbs_cert_list: list,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(signature.as_bytes())?,
    };
    Ok(list.to_der()?)
}
