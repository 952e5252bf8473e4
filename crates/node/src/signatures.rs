//! ECDSA P-256 and RSA-PSS at their measured fastest: signatures are two thirds of what a
//! submission costs.

use aws_lc_rs::digest::{Digest as ImportedDigest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm as _,
};
use birthmark_protocol::one_time::RsaBytes;
use birthmark_protocol::{Digest, PublicKey, Signature};
use quick_cache::sync::Cache;

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

/// How many signatures are remembered, 32 bytes each: of more photos than wait for a block.
const REMEMBERED: usize = 20_000;

/// Signatures of cameras that hold. A photo's is verified when the photo comes; when the validator
/// that took it proposes it, its evidence is judged again.
#[derive(Debug)]
pub(crate) struct Held(Cache<Digest, ()>);

impl Default for Held {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Held {
    pub(crate) fn insert(&self, key: &PublicKey, digest: &Digest, signature: &Signature) {
        self.0.insert(name(key, digest, signature), ());
    }

    /// Whether this key made this signature over a message with this SHA-256.
    pub(crate) fn verify(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        self.0.get(&name(key, digest, signature)).is_some() || verify_digest(key, digest, signature)
    }
}

fn name(key: &PublicKey, digest: &Digest, signature: &Signature) -> Digest {
    let (key, signature) = (key.to_sec1(), signature.to_bytes());
    let parts = [key.as_slice(), digest.as_bytes(), signature.as_slice()];
    Digest::tagged("birthmark/held-signature/v1", &parts)
}

/// 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Whether the RSA key of this modulus signed the name of a one-time key: RSASSA-PSS with SHA-384
/// and a salt as long.
pub(crate) fn verify_name(modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool {
    let key = RsaPublicKeyComponents {
        n: modulus.as_slice(),
        e: EXPONENT.as_slice(),
    };
    key.verify(&RSA_PSS_2048_8192_SHA384, name.as_bytes(), signature)
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

    #[test]
    fn only_the_very_signature_that_held_is_not_verified_again() {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let (public, signature) = (key.public_key(), key.sign(b"text").unwrap());
        let (text, other) = (Digest::of(b"text"), Digest::of(b"other"));
        let held = Held::default();
        assert!(held.verify(&public, &text, &signature));
        assert!(!held.verify(&public, &other, &signature));
        // What is remembered counts without being verified, and nothing beside it does.
        held.insert(&public, &other, &signature);
        assert!(held.verify(&public, &other, &signature));
        let stranger = VoteKey::from_bytes(&[8; 32]).unwrap().public_key();
        assert!(!held.verify(&stranger, &other, &signature));
        assert!(!held.verify(&public, &other, &key.sign(b"more").unwrap()));
    }

    #[test]
    fn a_signature_that_was_made_blind_is_an_ordinary_one() {
        let text = include_str!("../../../spec/vectors/one-time.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let case = &file["cases"][0];
        let bytes = |value: &serde_json::Value| -> RsaBytes {
            hex::decode(value.as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap()
        };
        let modulus = bytes(&case["rsa_modulus"]);
        for blinding in case["blindings"].as_array().unwrap() {
            let name: Digest = blinding["name"].as_str().unwrap().parse().unwrap();
            let signature = bytes(&blinding["signature"]);
            assert!(verify_name(&modulus, &name, &signature));
            assert!(!verify_name(&modulus, &Digest::of(b"other"), &signature));
            let blind = bytes(&blinding["blind_signature"]);
            assert!(!verify_name(&modulus, &name, &blind));
        }
    }
}
