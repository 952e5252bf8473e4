//! Camera certificates that were checked before: the issuer's signature and dates are checked once,
//! revocation and the certificate's own dates every time.

use std::sync::Arc;

use birthmark_protocol::certificate::GRACE;
use birthmark_protocol::{CameraCertificate, Digest, Timestamp};
use quick_cache::sync::Cache;

use super::Refused;
use crate::authorities::{Authority, AuthorityBook};

/// How many certificates are remembered. Each takes about two hundred bytes.
const REMEMBERED: usize = 100_000;

/// Which authority issued which certificate.
pub(super) struct CertificateCache(Cache<Digest, Issued>);

impl Default for CertificateCache {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

/// What is known of a certificate whose issuer was checked.
#[derive(Clone)]
struct Issued {
    by: Arc<Authority>,
    /// When it ends, or its issuer does, whichever comes first.
    until: Timestamp,
}

impl CertificateCache {
    /// The authority behind a certificate, if it is pinned, not revoked and in date for a photo
    /// that says it was taken at `taken`.
    pub(super) fn authority(
        &self,
        book: &AuthorityBook,
        certificate: &CameraCertificate,
        digest: &Digest,
        taken: Timestamp,
        now: Timestamp,
    ) -> Result<Arc<Authority>, Refused> {
        // Only what an authority signed is remembered: strangers could fill the memory with
        // anything else.
        let issued = self
            .0
            .get_or_insert_with(digest, || issued(book, certificate))?;
        check_standing(&issued, certificate, taken, now)?;
        Ok(issued.by)
    }
}

/// Who issued a certificate, with a key that is pinned and that could issue it when the certificate
/// begins.
fn issued(book: &AuthorityBook, certificate: &CameraCertificate) -> Result<Issued, Refused> {
    let found = book.of_certificate(certificate);
    let (authority, issuer) = found.ok_or(Refused::UnknownIssuer)?;
    let (from, until) = certificate.validity();
    let issuer = &issuer.certificate;
    if !issuer.was_valid_at(from) {
        return Err(Refused::IssuedOutOfTime);
    }
    Ok(Issued {
        by: Arc::clone(authority),
        until: until.min(issuer.validity.1),
    })
}

fn check_standing(
    issued: &Issued,
    certificate: &CameraCertificate,
    taken: Timestamp,
    now: Timestamp,
) -> Result<(), Refused> {
    // Which of an authority's issuers signed is not remembered; serial numbers are unique within
    // each, and a revoked number counts whoever of them revoked it.
    if issued
        .by
        .issuers
        .iter()
        .any(|issuer| issuer.has_revoked(certificate.serial()))
    {
        return Err(Refused::Revoked);
    }
    // The end is held against the photo's own time: what waited in a camera's queue is not lost
    // when its certificate ends. Whoever keeps an old key could date a photo back, so this ends
    // with the grace.
    let (from, _) = certificate.validity();
    let until = issued.until;
    if taken > until || now > until.plus(GRACE) {
        return Err(Refused::Expired { until });
    }
    if now < from.plus(-super::CLOCK_TOLERANCE) {
        return Err(Refused::NotYetValid { from });
    }
    Ok(())
}
