//! Camera tokens: the NUC hash encrypted under one key of one of the camera's tables.
//!
//! A token says "a camera of yours made this" to the authority and nothing to anybody else. Ours
//! are bound to one photo by the commitment as associated data; older cameras bind theirs to
//! nothing, which is why a token is spent once.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::commitment::Commitment;
use crate::derivation::{DerivationProfile, MasterKey, NucHash, TableKey};
use crate::digest::Digest;
use crate::numbers::{KeyIndex, TableId};

/// A nonce of AES-GCM. Never used twice under one key.
pub type TokenNonce = [u8; 12];

/// The encrypted NUC hash: 60 bytes in three layouts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SealedNuc {
    /// The encrypted NUC hash.
    pub ciphertext: [u8; 32],
    /// The nonce it was encrypted under.
    pub nonce: TokenNonce,
    /// The authentication tag.
    pub tag: [u8; 16],
}

/// A sealed NUC hash and the key that opens it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CameraToken {
    /// The 60 encrypted bytes.
    pub sealed: SealedNuc,
    /// Which table.
    pub table: TableId,
    /// Which key of that table.
    pub index: KeyIndex,
}

/// Which key opened a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenedBy {
    /// A derived key.
    Derived(DerivationProfile),
    /// The table's master key itself: a certificate from the field.
    BareMasterKey,
}

/// A token that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedToken {
    /// What was inside.
    pub nuc: NucHash,
    /// Which key opened it.
    pub by: OpenedBy,
    /// Whether it was bound to what it was shown with: a photo's commitment, or a certificate's
    /// key.
    pub bound: bool,
}

/// Why a text is not a sealed NUC hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFormatError {
    /// The wrong number of bytes.
    #[error("expected 60 bytes, got {0}")]
    Length(usize),
    /// Neither base64, nor hex of 60 bytes, nor hex of the base64 text.
    #[error("neither base64 nor hexadecimal")]
    Encoding,
}

impl SealedNuc {
    /// Encrypts `nuc` under `key`.
    pub fn seal(nuc: &NucHash, key: &TableKey, nonce: TokenNonce, associated: &[u8]) -> Self {
        let mut ciphertext = *nuc.expose();
        let sealed = cipher(key).encrypt_inout_detached(
            &nonce.into(),
            associated,
            ciphertext.as_mut_slice().into(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "only 64 GiB are refused; zeros open nothing"
        )]
        let tag = sealed.map(Into::into).unwrap_or([0; 16]);
        Self {
            ciphertext,
            nonce,
            tag,
        }
    }

    /// Decrypts under `key`; `None` when key, tag or associated data do not belong together.
    pub fn open(&self, key: &TableKey, associated: &[u8]) -> Option<NucHash> {
        let mut plain = self.ciphertext;
        let (nonce, tag): (Nonce<Aes256Gcm>, Tag<Aes256Gcm>) = (self.nonce.into(), self.tag.into());
        cipher(key)
            .decrypt_inout_detached(&nonce, associated, plain.as_mut_slice().into(), &tag)
            .ok()?;
        Some(NucHash::from_bytes(plain))
    }

    /// Layout of `encrypted_nuc_token`: ciphertext, nonce, tag.
    pub fn to_packed(&self) -> [u8; 60] {
        join(&[&self.ciphertext, &self.nonce, &self.tag])
    }

    /// Reads ciphertext, nonce, tag.
    pub fn from_packed(bytes: &[u8]) -> Result<Self, TokenFormatError> {
        let (ciphertext, rest) = split::<32>(bytes, bytes.len())?;
        let (nonce, rest) = split::<12>(rest, bytes.len())?;
        let (tag, rest) = split::<16>(rest, bytes.len())?;
        if rest.is_empty() {
            Ok(Self {
                ciphertext,
                nonce,
                tag,
            })
        } else {
            Err(TokenFormatError::Length(bytes.len()))
        }
    }

    /// Layout of the certificate extension: ciphertext, tag, nonce.
    pub fn to_extension(&self) -> [u8; 60] {
        join(&[&self.ciphertext, &self.tag, &self.nonce])
    }

    /// Reads ciphertext, tag, nonce.
    pub fn from_extension(bytes: &[u8]) -> Result<Self, TokenFormatError> {
        let (ciphertext, rest) = split::<32>(bytes, bytes.len())?;
        let (tag, rest) = split::<16>(rest, bytes.len())?;
        let (nonce, rest) = split::<12>(rest, bytes.len())?;
        if rest.is_empty() {
            Ok(Self {
                ciphertext,
                nonce,
                tag,
            })
        } else {
            Err(TokenFormatError::Length(bytes.len()))
        }
    }

    /// Reads the packed layout from base64, from hex of the 60 bytes, or from hex of the base64
    /// text as some nodes forward it.
    pub fn from_packed_text(text: &str) -> Result<Self, TokenFormatError> {
        if text.len() == 120
            && let Ok(bytes) = hex::decode(text)
        {
            return Self::from_packed(&bytes);
        }
        let inner = match hex::decode(text) {
            Ok(bytes) if text.len() == 160 => {
                String::from_utf8(bytes).map_err(|_| TokenFormatError::Encoding)?
            }
            _ => text.to_owned(),
        };
        Self::from_packed(
            &STANDARD
                .decode(inner.trim())
                .map_err(|_| TokenFormatError::Encoding)?,
        )
    }

    /// What a spent token is remembered by. The same token for another photo has the same
    /// fingerprint.
    pub fn fingerprint(&self) -> Digest {
        Digest::tagged("birthmark/token/v1", &[&self.nonce, &self.ciphertext])
    }
}

impl CameraToken {
    /// Makes the token of a photo with this commitment.
    pub fn issue(
        nuc: &NucHash,
        master: &MasterKey,
        table: TableId,
        index: KeyIndex,
        nonce: TokenNonce,
        commitment: &Commitment,
    ) -> Self {
        let key = master.table_key(index, DerivationProfile::A);
        Self {
            sealed: SealedNuc::seal(nuc, &key, nonce, commitment.as_bytes()),
            table,
            index,
        }
    }

    /// Makes the constant token inside the certificate of a key: it opens beside no other key.
    pub fn issue_certificate(
        nuc: &NucHash,
        master: &MasterKey,
        table: TableId,
        index: KeyIndex,
        nonce: TokenNonce,
        spki_der: &[u8],
    ) -> Self {
        let key = master.table_key(index, DerivationProfile::A);
        let bound = certificate_binding(spki_der);
        Self {
            sealed: SealedNuc::seal(nuc, &key, nonce, bound.as_bytes()),
            table,
            index,
        }
    }

    /// Opens with profile A, then B; each bound to `commitment` first, then unbound as older
    /// cameras send it.
    pub fn open(&self, master: &MasterKey, commitment: Option<&Commitment>) -> Option<OpenedToken> {
        self.open_bound(
            master,
            commitment.map(|commitment| &commitment.as_bytes()[..]),
        )
    }

    /// Opens the constant token inside the certificate of this key: profile A, then B, then the
    /// bare master key, under which certificates in the field were made.
    pub fn open_certificate(&self, master: &MasterKey, spki_der: &[u8]) -> Option<OpenedToken> {
        let bound = certificate_binding(spki_der);
        self.open_bound(master, Some(bound.as_bytes())).or_else(|| {
            Some(OpenedToken {
                nuc: self.sealed.open(&master.bare(), &[])?,
                by: OpenedBy::BareMasterKey,
                bound: false,
            })
        })
    }

    fn open_bound(&self, master: &MasterKey, associated: Option<&[u8]>) -> Option<OpenedToken> {
        [DerivationProfile::A, DerivationProfile::B]
            .into_iter()
            .find_map(|profile| {
                let key = master.table_key(self.index, profile);
                let opened = |nuc, bound| OpenedToken {
                    nuc,
                    by: OpenedBy::Derived(profile),
                    bound,
                };
                let bound = associated.and_then(|associated| self.sealed.open(&key, associated));
                match bound {
                    Some(nuc) => Some(opened(nuc, true)),
                    None => Some(opened(self.sealed.open(&key, &[])?, false)),
                }
            })
    }
}

/// What the token inside a certificate is bound to, so that it is worth nothing beside another key.
fn certificate_binding(spki_der: &[u8]) -> Digest {
    Digest::tagged("birthmark/certificate-token/v1", &[spki_der])
}

/// The structured form, as it stands in JSON.
#[derive(Serialize, Deserialize)]
struct StructuredToken {
    ciphertext: String,
    nonce: String,
    auth_tag: String,
    table_id: TableId,
    key_index: KeyIndex,
}

impl Serialize for CameraToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StructuredToken {
            ciphertext: hex::encode(self.sealed.ciphertext),
            nonce: hex::encode(self.sealed.nonce),
            auth_tag: hex::encode(self.sealed.tag),
            table_id: self.table,
            key_index: self.index,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CameraToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = StructuredToken::deserialize(deserializer)?;
        let sealed = SealedNuc {
            ciphertext: hex_field("ciphertext", &token.ciphertext)?,
            nonce: hex_field("nonce", &token.nonce)?,
            tag: hex_field("auth_tag", &token.auth_tag)?,
        };
        Ok(Self {
            sealed,
            table: token.table_id,
            index: token.key_index,
        })
    }
}

fn hex_field<const N: usize, E: serde::de::Error>(name: &str, text: &str) -> Result<[u8; N], E> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| E::custom(format!("{name}: expected {} hexadecimal characters", N * 2)))?;
    Ok(bytes)
}

fn cipher(key: &TableKey) -> Aes256Gcm {
    Aes256Gcm::new(key.expose().into())
}

fn join(parts: &[&[u8]]) -> [u8; 60] {
    let mut out = [0; 60];
    out.iter_mut()
        .zip(parts.iter().copied().flatten())
        .for_each(|(to, from)| *to = *from);
    out
}

fn split<const N: usize>(bytes: &[u8], whole: usize) -> Result<([u8; N], &[u8]), TokenFormatError> {
    let (head, rest) = bytes
        .split_first_chunk::<N>()
        .ok_or(TokenFormatError::Length(whole))?;
    Ok((*head, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(commitment: &Commitment) -> (MasterKey, NucHash, CameraToken) {
        let (master, nuc) = (MasterKey::from_bytes([1; 32]), NucHash::from_bytes([2; 32]));
        let (table, index) = (
            TableId::try_from(42).unwrap(),
            KeyIndex::try_from(137).unwrap(),
        );
        let token = CameraToken::issue(&nuc, &master, table, index, [3; 12], commitment);
        (master, nuc, token)
    }

    #[test]
    fn a_bound_token_opens_only_for_its_own_photo() {
        let commitment = Commitment::from_bytes([9; 32]);
        let (master, nuc, token) = token(&commitment);
        assert_eq!(
            token.open(&master, Some(&commitment)),
            Some(OpenedToken {
                nuc,
                by: OpenedBy::Derived(DerivationProfile::A),
                bound: true,
            })
        );
        assert_eq!(
            token.open(&master, Some(&Commitment::from_bytes([8; 32]))),
            None
        );
        assert_eq!(token.open(&master, None), None);
    }

    #[test]
    fn a_token_of_an_older_camera_opens_without_a_binding() {
        let (master, nuc, token) = token(&Commitment::from_bytes([9; 32]));
        for profile in [DerivationProfile::A, DerivationProfile::B] {
            let key = master.table_key(token.index, profile);
            let older = CameraToken {
                sealed: SealedNuc::seal(&nuc, &key, [4; 12], &[]),
                ..token
            };
            let opened = older.open(&master, Some(&Commitment::from_bytes([1; 32])));
            let opened = opened.unwrap();
            assert_eq!((&opened.nuc, opened.by), (&nuc, OpenedBy::Derived(profile)));
            assert!(!opened.bound);
        }
    }

    #[test]
    fn only_a_certificate_may_use_the_bare_master_key() {
        let (master, nuc, token) = token(&Commitment::from_bytes([9; 32]));
        let sealed = SealedNuc::seal(&nuc, &master.bare(), [4; 12], &[]);
        let token = CameraToken { sealed, ..token };
        assert_eq!(token.open(&master, None), None);
        let opened = token.open_certificate(&master, b"any key").unwrap();
        assert_eq!((opened.nuc, opened.by), (nuc, OpenedBy::BareMasterKey));
    }

    #[test]
    fn the_token_of_a_certificate_opens_beside_its_own_key_only() {
        let (master, nuc, token) = token(&Commitment::from_bytes([9; 32]));
        let (table, index) = (token.table, token.index);
        let token =
            CameraToken::issue_certificate(&nuc, &master, table, index, [4; 12], b"its key");
        let opened = token.open_certificate(&master, b"its key").unwrap();
        assert_eq!((opened.nuc, opened.bound), (nuc, true));
        assert_eq!(token.open_certificate(&master, b"another key"), None);
        assert_eq!(token.open(&master, None), None);
    }

    #[test]
    fn the_fingerprint_does_not_depend_on_the_tag() {
        let (.., token) = token(&Commitment::from_bytes([9; 32]));
        let mut forged = token.sealed;
        forged.tag = [0; 16];
        assert_eq!(forged.fingerprint(), token.sealed.fingerprint());
    }

    #[test]
    fn json_errors_name_the_field() {
        let text = r#"{"ciphertext":"00","nonce":"00","auth_tag":"00","table_id":1,"key_index":1}"#;
        let error = serde_json::from_str::<CameraToken>(text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ciphertext: expected 64 hexadecimal"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_layout_reads_back(ciphertext: [u8; 32], nonce: [u8; 12], tag: [u8; 16]) {
            let sealed = SealedNuc { ciphertext, nonce, tag };
            let base64 = STANDARD.encode(sealed.to_packed());
            prop_assert_eq!(SealedNuc::from_packed(&sealed.to_packed()).unwrap(), sealed);
            prop_assert_eq!(SealedNuc::from_extension(&sealed.to_extension()).unwrap(), sealed);
            prop_assert_eq!(SealedNuc::from_packed_text(&base64).unwrap(), sealed);
            prop_assert_eq!(SealedNuc::from_packed_text(&hex::encode(sealed.to_packed())).unwrap(), sealed);
            prop_assert_eq!(SealedNuc::from_packed_text(&hex::encode(base64)).unwrap(), sealed);
        }

        #[test]
        fn structured_json_reads_back(ciphertext: [u8; 32], nonce: [u8; 12], tag: [u8; 16], table in 0i64..2500, index in 0i64..1000) {
            let token = CameraToken {
                sealed: SealedNuc { ciphertext, nonce, tag },
                table: table.try_into().unwrap(),
                index: index.try_into().unwrap(),
            };
            let text = serde_json::to_string(&token).unwrap();
            prop_assert_eq!(serde_json::from_str::<CameraToken>(&text).unwrap(), token);
        }

        #[test]
        fn other_lengths_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assume!(bytes.len() != 60);
            prop_assert_eq!(SealedNuc::from_packed(&bytes), Err(TokenFormatError::Length(bytes.len())));
            prop_assert_eq!(SealedNuc::from_extension(&bytes), Err(TokenFormatError::Length(bytes.len())));
        }
    }
}
