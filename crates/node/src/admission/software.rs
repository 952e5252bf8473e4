//! Edited images: registered by editing software with a certificate of a pinned software authority.

use birthmark_protocol::{Digest, Edit, SoftwareCertificate, Timestamp};

use super::{Asked, Claimed, Hidden, Refused, Request, check_time, draw_opening};
use crate::authorities::{AuthorityBook, Issuer};
use crate::lookup_key::LookupKey;
use crate::signatures;

/// Checks time, certificate and signature; whether the original is registered is asked elsewhere.
pub fn check(
    edit: &Edit,
    book: &AuthorityBook,
    key: &LookupKey,
    now: Timestamp,
) -> Result<Request, Refused> {
    check_time(edit.bundle.time(), now)?;
    let certificate = &edit.certificate;
    let authority = authority(certificate, book, now)?;
    let signed = edit.signed_digest().map_err(|_| Refused::Signature)?;
    if !signatures::verify_digest(certificate.key(), &signed, &edit.signature) {
        return Err(Refused::Signature);
    }
    let asked = Asked::Software {
        authority,
        family: certificate.extensions().name(),
        original: edit.original,
    };
    Ok(Request::new(
        key,
        Claimed::unanchored(edit.bundle.clone()).map_err(Refused::Anchor)?,
        Hidden::ByUs(draw_opening()?),
        None,
        &Digest::of(certificate.der()),
        None,
        asked,
    ))
}

/// Which pinned authority issued the certificate; it must be in force.
fn authority(
    certificate: &SoftwareCertificate,
    book: &AuthorityBook,
    now: Timestamp,
) -> Result<String, Refused> {
    let signed = |issuer: &Issuer| {
        signatures::verify(
            &issuer.certificate.key,
            certificate.tbs_der(),
            certificate.signature(),
        )
    };
    let found = book
        .software()
        .find_map(|(name, issuers)| Some((name, issuers.iter().find(|issuer| signed(issuer))?)));
    let (name, issuer) = found.ok_or(Refused::UnknownIssuer)?;
    if issuer.has_revoked(certificate.serial()) {
        return Err(Refused::Revoked);
    }
    let (from, until) = certificate.validity();
    if !issuer.certificate.was_valid_at(from) {
        return Err(Refused::IssuedOutOfTime);
    }
    // Under an issuer whose own certificate has ended, nothing is in force.
    match until.min(issuer.certificate.validity.1) {
        until if now > until => Err(Refused::Expired { until }),
        _ if now < from => Err(Refused::NotYetValid { from }),
        _ => Ok(name.to_owned()),
    }
}
