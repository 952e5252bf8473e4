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

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> SealedNuc {
        SealedNuc {
            ciphertext: [1; 32],
            nonce: [2; 12],
            tag: [3; 16],
        }
    }

    fn key(table: i64, index: i64) -> (TableId, KeyIndex) {
        (table.try_into().unwrap(), index.try_into().unwrap())
    }

    /// The same token spends the same, in whichever form, under whichever keys and for whichever
    /// photo it is shown: otherwise one could be shown a second time.
    #[test]
    fn a_token_is_remembered_by_its_bytes_whatever_its_form() {
        let (table, index) = key(7, 9);
        let structured = TokenClaim::Structured(CameraToken {
            sealed: sealed(),
            table,
            index,
        });
        let keys = [key(1, 1), key(7, 9), key(3, 3)];
        let packed = TokenClaim::Packed(PackedToken {
            sealed: sealed(),
            keys,
        });
        assert_eq!(structured.fingerprint(), packed.fingerprint());
        let tried: Vec<_> = packed
            .candidates()
            .map(|token| (token.table, token.index))
            .collect();
        assert_eq!(tried, keys);
        assert_eq!(structured.candidates().count(), 1);
        let changed = |change: &dyn Fn(&mut SealedNuc)| {
            let mut sealed = sealed();
            change(&mut sealed);
            TokenClaim::Packed(PackedToken { sealed, keys }).fingerprint()
        };
        // The tag alone tells what it is bound to.
        let of_another_photo = changed(&|sealed| sealed.tag[15] ^= 1);
        assert_eq!(of_another_photo, packed.fingerprint());
        for other in [
            changed(&|sealed| sealed.nonce[0] ^= 1),
            changed(&|sealed| sealed.ciphertext[31] ^= 1),
        ] {
            assert_ne!(other, packed.fingerprint());
        }
    }

    #[test]
    fn what_is_wrong_with_a_token_is_named() {
        let text = "00".repeat(60);
        let packed = |tables: &str, indices: &str| {
            let body =
                format!(r#"{{"c":"{text}","table_references":{tables},"key_indices":{indices}}}"#);
            let read = Form::read(body.as_bytes(), 1000, |form| TokenClaim::packed(&form, "c"));
            read.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(packed("[1,2,3]", "[4,5,6]"), Ok(()));
        for (tables, indices, place) in [
            ("[1,2,2500]", "[4,5,6]", "body.table_references[2]"),
            ("[1,2]", "[4,5,6]", "body.table_references:"),
            ("[1,2,3]", "[4,1000,6]", "body.key_indices[1]"),
        ] {
            let error = packed(tables, indices).unwrap_err();
            assert!(error.starts_with(place), "{error}");
        }
        let body = format!(
            r#"{{"t":{{"ciphertext":"{}","nonce":"{}","auth_tag":"00","table_id":0,"key_index":0}}}}"#,
            "00".repeat(32),
            "00".repeat(12)
        );
        let read = Form::read(body.as_bytes(), 1000, |form| structured(&form, "t"));
        let error = read.unwrap_err().to_string();
        assert!(error.starts_with("body.t.auth_tag:"), "{error}");
    }
}
