//! Certificate revocation lists, RFC 5280.

use birthmark_protocol::Timestamp;
use der::Encode;
use x509_cert::builder::{Builder, CrlBuilder};
use x509_cert::crl::RevokedCert;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::serial_number::SerialNumber;

use crate::issue::ca::{Issuer, time};
use crate::judge::cameras::IssuedCertificate;

/// A list is replaced at least daily.
const NEXT: i64 = 86400;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// Building failed.
    #[error("the revocation list could not be built: {0}")]
    Build(#[from] x509_cert::builder::Error),
    /// Encoding failed.
    #[error("the revocation list could not be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// Builds and signs a list, in DER.
pub fn build(
    issuer: &Issuer,
    revoked: &[(IssuedCertificate, Timestamp)],
    now: Timestamp,
) -> Result<Vec<u8>, CrlError> {
    // The time is a number that only grows, which is all a list's number has to do.
    let number = CrlNumber::try_from(u64::try_from(now.unix()).unwrap_or_default())?;
    let mut builder = CrlBuilder::<x509_cert::certificate::Rfc5280>::new_with_this_update(
        &issuer.certificate,
        number,
        time(now)?,
    )?
    .with_next_update(Some(time(now.plus(NEXT))?));
    let entries = revoked.iter().map(|(certificate, since)| {
        Ok(RevokedCert {
            serial_number: SerialNumber::new(certificate.serial_bytes())?,
            revocation_date: time(*since)?,
            crl_entry_extensions: None,
        })
    });
    let entries = entries.collect::<Result<Vec<_>, der::Error>>()?;
    if !entries.is_empty() {
        // An empty list of certificates must be absent altogether.
        builder = builder.with_certificates(entries.into_iter());
    }
    let list = builder.build::<_, p256::ecdsa::DerSignature>(issuer.key.signer())?;
    Ok(list.to_der()?)
}
