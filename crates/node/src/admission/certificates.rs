//! Camera certificates that were checked before: the issuer's signature is checked once, revocation and dates every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use birthmark_protocol::certificate::GRACE;
use birthmark_protocol::{CameraCertificate, Digest, Timestamp};

use super::Refused;
use crate::authorities::{Authority, AuthorityBook};

/// How many certificates are remembered. Each takes about two hundred bytes.
const REMEMBERED: usize = 100_000;

/// Which authority issued which certificate.
#[derive(Default)]
pub(super) struct CertificateCache(Mutex<HashMap<Digest, Arc<Authority>>>);

impl CertificateCache {
    /// The authority behind a certificate, if it is pinned, not revoked and in date for a photo that says it was taken at
    /// `taken`.
    pub(super) fn authority(
        &self,
        book: &AuthorityBook,
        certificate: &CameraCertificate,
        digest: &Digest,
        taken: Timestamp,
        now: Timestamp,
    ) -> Result<Arc<Authority>, Refused> {
        let authority = match self.remembered(digest) {
            Some(authority) => authority,
            None => {
                let (authority, _) = book
                    .of_certificate(certificate)
                    .ok_or(Refused::UnknownIssuer)?;
                self.remember(*digest, authority);
                Arc::clone(authority)
            }
        };
        check_standing(&authority, certificate, taken, now)?;
        Ok(authority)
    }

    fn remembered(&self, digest: &Digest) -> Option<Arc<Authority>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .cloned()
    }

    fn remember(&self, digest: Digest, authority: &Arc<Authority>) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest, Arc::clone(authority));
    }
}

fn check_standing(
    authority: &Authority,
    certificate: &CameraCertificate,
    taken: Timestamp,
    now: Timestamp,
) -> Result<(), Refused> {
    // Which of an authority's issuers signed is not remembered; serial numbers are unique within each, and a revoked
    // number counts whoever of them revoked it.
    if authority
        .issuers
        .iter()
        .any(|issuer| issuer.has_revoked(certificate.serial()))
    {
        return Err(Refused::Revoked);
    }
    // The end is held against the photo's own time: what waited in a camera's queue is not lost when its certificate
    // ends. Whoever keeps an old key could date a photo back, so this ends with the grace.
    let (from, until) = certificate.validity();
    if taken > until || now > until.plus(GRACE) {
        return Err(Refused::Expired { until });
    }
    if now < from.plus(-super::CLOCK_TOLERANCE) {
        return Err(Refused::NotYetValid { from });
    }
    Ok(())
}
