//! Table keys from master keys: HKDF-SHA256 in the two forms that exist in the field.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::numbers::KeyIndex;

const CONTEXT: &[u8] = b"Birthmark";

/// Declares a 32-byte secret: wiped when dropped, never printed, compared in equal time.
macro_rules! secret32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 secret bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The secret bytes, for whoever seals or stores them.
            pub const fn expose(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads 64 hexadecimal characters; the error never repeats them.
            pub fn from_hex(text: &str) -> Result<Self, crate::digest::DigestError> {
                text.parse::<crate::digest::Digest>().map(|digest| Self(*digest.as_bytes()))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
            }
        }

        impl Eq for $name {}

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(secret)"))
            }
        }
    };
}
pub(crate) use secret32;

secret32!(
    /// The secret behind one key table. Cameras hold three, the authority holds all.
    MasterKey
);
secret32!(
    /// A key that opens tokens: one of the thousand of a table.
    TableKey
);
secret32!(
    /// SHA-256 of a camera's NUC map: what the authority knows the camera by.
    NucHash
);

/// Which of the two derivations of the documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DerivationProfile {
    /// No salt, info = index then `Birthmark`. What cameras use.
    A,
    /// Salt `Birthmark`, info = index. Written in the authority's plan only.
    B,
}

impl MasterKey {
    /// Derives the key at `index`.
    pub fn table_key(&self, index: KeyIndex, profile: DerivationProfile) -> TableKey {
        let index = u32::from(index.get()).to_be_bytes();
        let (salt, context) = match profile {
            DerivationProfile::A => (None, CONTEXT),
            DerivationProfile::B => (Some(CONTEXT), &[][..]),
        };
        let mut key = TableKey([0; 32]);
        let expanded =
            Hkdf::<Sha256>::new(salt, &self.0).expand_multi_info(&[&index, context], &mut key.0);
        debug_assert!(
            expanded.is_ok(),
            "32 bytes are always within what HKDF-SHA256 can give"
        );
        key
    }

    /// The master key itself as a table key: how certificates in the field were encrypted.
    pub fn bare(&self) -> TableKey {
        TableKey(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_differ_and_indices_differ() {
        let master = MasterKey::from_bytes([7; 32]);
        let (zero, one) = (
            KeyIndex::try_from(0).unwrap(),
            KeyIndex::try_from(1).unwrap(),
        );
        assert_ne!(
            master.table_key(zero, DerivationProfile::A),
            master.table_key(zero, DerivationProfile::B)
        );
        assert_ne!(
            master.table_key(zero, DerivationProfile::A),
            master.table_key(one, DerivationProfile::A)
        );
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let printed = format!("{:?}", MasterKey::from_bytes([0xAB; 32]));
        assert_eq!(printed, "MasterKey(secret)");
    }
}
