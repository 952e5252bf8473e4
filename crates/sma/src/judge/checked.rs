//! Camera certificates whose issuer's signature was checked before. A camera shows the same one
//! with each photo, and that signature is most of what a question costs.
//!
//! Only the signature is remembered, of the very bytes that were signed. Whether the issuer is
//! trusted, the certificate in date, issued and not revoked is judged each time.

use birthmark_protocol::{CameraCertificate, Digest, PublicKey};
use quick_cache::sync::Cache;

use crate::keep::keyring::IssuerKey;

/// How many are remembered. Each takes about two hundred bytes.
const REMEMBERED: usize = 100_000;

/// Which of our keys signed which certificate.
#[derive(Debug)]
pub struct CheckedCertificates(Cache<Digest, PublicKey>);

impl Default for CheckedCertificates {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl CheckedCertificates {
    /// The key among these that signed the certificate.
    pub fn issuer<'a>(
        &self,
        certificate: &CameraCertificate,
        issuers: &'a [IssuerKey],
    ) -> Option<&'a IssuerKey> {
        let name = Digest::of(certificate.der());
        if let Some(key) = self.0.get(&name) {
            // A key that is ours no more signed nothing.
            return issuers.iter().find(|issuer| issuer.public == key);
        }
        let issuer = issuers
            .iter()
            .find(|issuer| signed_by(certificate, issuer))?;
        // What none of our keys signed is not remembered: strangers could fill the memory with it.
        self.0.insert(name, issuer.public.clone());
        Some(issuer)
    }
}

/// Whether `issuer` signed the certificate. The measured hot path of certificate validation, so not
/// the protocol's own check.
fn signed_by(certificate: &CameraCertificate, issuer: &IssuerKey) -> bool {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, issuer.public.to_sec1());
    key.verify(certificate.tbs_der(), &certificate.signature().to_bytes())
        .is_ok()
}

#[cfg(test)]
mod tests;
