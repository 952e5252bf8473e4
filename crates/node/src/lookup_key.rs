//! The key under which receipt ids, claims and spent tokens stand in the database.
//!
//! Image digests are public and a camera's certificate lies beside every photo that is given away.
//! A plain hash of both could be recomputed by anybody, and one certificate would find all photos
//! of its camera. These values are keyed, and the key is a credential of the unit, not a row:
//! whoever has the whole database and every certificate finds nothing.
//!
//! Whoever has this key beside the database can test which photos belong to a certificate. It
//! forges nothing.

use aws_lc_rs::hmac;
use birthmark_protocol::Digest;
use zeroize::Zeroizing;

use crate::store::ReceiptId;

/// How many bytes of an HMAC are stored: 128 bits never meet by accident, and halve the largest
/// tables.
pub const SHORT: usize = 16;

/// The validator's lookup key.
#[derive(Clone)]
pub struct LookupKey(hmac::Key);

impl std::fmt::Debug for LookupKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("LookupKey")
    }
}

impl LookupKey {
    /// From the 32 bytes of the credential.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The id under which a submission is answered: equal claims with equal proofs have equal ids
    /// at this validator.
    pub fn receipt_id(&self, bundle: &[u8], chosen_opening: &[u8], proof: &[u8]) -> ReceiptId {
        let bytes = self.short("birthmark/receipt-id", &[bundle, chosen_opening, proof]);
        ReceiptId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// What one camera may register once: this digest.
    pub fn claim(&self, digest: &Digest, credential: &Digest) -> Vec<u8> {
        let parts: [&[u8]; 2] = [digest.as_bytes(), credential.as_bytes()];
        self.short("birthmark/claim", &parts).to_vec()
    }

    /// What a spent token is remembered by.
    pub fn token(&self, fingerprint: &Digest) -> Vec<u8> {
        self.short("birthmark/spent-token", &[fingerprint.as_bytes()])
            .to_vec()
    }

    /// What the database remembers this key by, so that another key is noticed.
    pub fn check_value(&self) -> Vec<u8> {
        self.short("birthmark/lookup-key-check", &[]).to_vec()
    }

    /// The key of one epoch of waiting rows: the salt lies in a file of its own and is destroyed
    /// with the epoch.
    pub(crate) fn row_key(&self, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let tag = self.tag("birthmark/row-key", &[salt]);
        let mut key = Zeroizing::new([0; 32]);
        key.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        key
    }

    fn short(&self, domain: &str, parts: &[&[u8]]) -> [u8; SHORT] {
        let tag = self.tag(domain, parts);
        let mut short = [0; SHORT];
        short
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        short
    }

    /// Every part stands behind its length, so that no two lists of parts give the same input.
    fn tag(&self, domain: &str, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [domain.as_bytes()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_or_another_split_of_the_parts_gives_another_value() {
        let (one, other) = (LookupKey::new(&[1; 32]), LookupKey::new(&[2; 32]));
        let (photo, camera) = (Digest::of(b"photo"), Digest::of(b"camera"));
        assert_eq!(
            one.claim(&photo, &camera),
            one.clone().claim(&photo, &camera)
        );
        assert_ne!(one.claim(&photo, &camera), other.claim(&photo, &camera));
        assert_ne!(one.claim(&photo, &camera), one.claim(&camera, &photo));
        assert_ne!(
            one.receipt_id(b"ab", b"", b"c"),
            one.receipt_id(b"a", b"b", b"c")
        );
        assert_ne!(
            one.receipt_id(b"ab", b"", b"c"),
            other.receipt_id(b"ab", b"", b"c")
        );
        assert_ne!(one.check_value(), other.check_value());
        assert_ne!(*one.row_key(&[1; 32]), *one.row_key(&[2; 32]));
        assert!(!format!("{one:?}").contains('1'));
    }
}
