//! The two forms in which older and newer cameras name the key of their token.

use crate::digest::Digest;
use crate::numbers::{KeyIndex, TABLES_PER_CAMERA, TableId};
use crate::request::{Form, RequestError};
use crate::token::{CameraToken, SealedNuc};

/// A token whose key is one of three; the others are decoys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackedToken {
    /// The 60 encrypted bytes.
    pub sealed: SealedNuc,
    /// The keys that may open them.
    pub keys: [(TableId, KeyIndex); TABLES_PER_CAMERA],
}

/// A token as a camera or a node sends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenClaim {
    /// With its one key.
    Structured(CameraToken),
    /// With three keys to try.
    Packed(PackedToken),
}

impl TokenClaim {
    /// The 60 encrypted bytes.
    pub const fn sealed(&self) -> &SealedNuc {
        match self {
            Self::Structured(token) => &token.sealed,
            Self::Packed(token) => &token.sealed,
        }
    }

    /// The token under each key it may have, to be tried in order.
    pub fn candidates(&self) -> impl Iterator<Item = CameraToken> + '_ {
        let (one, several) = match self {
            Self::Structured(token) => (Some(*token), None),
            Self::Packed(packed) => (None, Some(packed)),
        };
        let several = several.into_iter().flat_map(|packed| {
            packed.keys.iter().map(|(table, index)| CameraToken {
                sealed: packed.sealed,
                table: *table,
                index: *index,
            })
        });
        one.into_iter().chain(several)
    }

    /// What a spent token is remembered by.
    pub fn fingerprint(&self) -> Digest {
        self.sealed().fingerprint()
    }

    /// Reads the packed form: 60 bytes as text under `name`, and the lists of tables and key
    /// indices.
    pub(crate) fn packed(form: &Form<'_>, name: &'static str) -> Result<Self, RequestError> {
        let sealed = SealedNuc::from_packed_text(form.text(name)?)
            .map_err(|problem| form.wrong(name, problem))?;
        let [a, b, c] = form.numbers::<TableId, TABLES_PER_CAMERA>("table_references")?;
        let [i, j, k] = form.numbers::<KeyIndex, TABLES_PER_CAMERA>("key_indices")?;
        Ok(Self::Packed(PackedToken {
            sealed,
            keys: [(a, i), (b, j), (c, k)],
        }))
    }
}

/// Reads the structured form, an object under `name`.
pub(crate) fn structured(form: &Form<'_>, name: &'static str) -> Result<CameraToken, RequestError> {
    let token = form.form(name)?;
    let sealed = SealedNuc {
        ciphertext: token.hex("ciphertext")?,
        nonce: token.hex("nonce")?,
        tag: token.hex("auth_tag")?,
    };
    Ok(CameraToken {
        sealed,
        table: token.number("table_id")?,
        index: token.number("key_index")?,
    })
}
