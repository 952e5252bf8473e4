//! ECDSA P-256 at its measured fastest: signatures are two thirds of what a submission costs.

use aws_lc_rs::digest::{Digest as ImportedDigest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, UnparsedPublicKey, VerificationAlgorithm as _,
};
use birthmark_protocol::{Digest, PublicKey, Signature};

/// Whether `key` signed `message`.
pub(crate) fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1())
        .verify(message, &signature.to_bytes())
        .is_ok()
}

/// Whether `key` signed a message with this SHA-256.
pub(crate) fn verify_digest(key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
    let Ok(digest) = ImportedDigest::import_less_safe(digest.as_bytes(), &SHA256) else {
        return false;
    };
    ECDSA_P256_SHA256_FIXED
        .verify_digest_sig(&key.to_sec1(), &digest, &signature.to_bytes())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use birthmark_ledger::{VoteKey, VoteSigner as _};

    use super::*;

    #[test]
    fn both_libraries_agree() {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let (public, signature) = (key.public_key(), key.sign(b"text").unwrap());
        assert!(verify(&public, b"text", &signature) && public.verify(b"text", &signature).is_ok());
        assert!(verify_digest(&public, &Digest::of(b"text"), &signature));
        assert!(
            !verify(&public, b"other", &signature)
                && !verify_digest(&public, &Digest::of(b"other"), &signature)
        );
    }
}
