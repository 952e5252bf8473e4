//! What the authority is asked about instead of a photo: a commitment that hides the digest until
//! it is opened.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::derivation::secret32;
use crate::digest::Digest;

secret32!(
    /// The 32 random bytes that hide a photo behind its commitment. Passed between validators,
    /// never published.
    Opening
);

/// `SHA-256("birthmark/commitment/v1" ‖ bundle_digest ‖ opening)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Commitment(Digest);

impl Commitment {
    /// Commits to a bundle.
    pub fn new(bundle_digest: &Digest, opening: &Opening) -> Self {
        Self(Digest::tagged(
            "birthmark/commitment/v1",
            &[bundle_digest.as_bytes(), opening.expose()],
        ))
    }

    /// Takes a commitment somebody else made.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// As a digest, for places that store or print one.
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

impl From<Digest> for Commitment {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl std::fmt::Display for Commitment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_opening_or_bundle_gives_another_commitment() {
        let (bundle, opening) = (Digest::of(b"bundle"), Opening::from_bytes([1; 32]));
        let commitment = Commitment::new(&bundle, &opening);
        assert_eq!(commitment, Commitment::new(&bundle, &opening));
        assert_ne!(commitment, Commitment::new(&Digest::of(b"other"), &opening));
        assert_ne!(
            commitment,
            Commitment::new(&bundle, &Opening::from_bytes([2; 32]))
        );
    }
}
