//! Short texts that end up in signed bytes: bounded, printable, with one way in.

use std::fmt;
use std::str::FromStr;

use birthmark_protocol::bytes::{DecodeError, Reader, put_short_text};
use serde::{Deserialize, Serialize};

/// Why a text cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Empty, or longer than its field allows.
    #[error("the text has {length} bytes; allowed are {min} to {max}")]
    Length {
        /// How many bytes it has.
        length: usize,
        /// The fewest allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// A character its field does not allow.
    #[error("the character {0:?} is not allowed")]
    Character(char),
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text.
            pub fn new(text: &str) -> Result<Self, LabelError> {
                let (min, max): (usize, usize) = ($min, $max);
                if !(min..=max).contains(&text.len()) {
                    return Err(LabelError::Length { length: text.len(), min, max });
                }
                let allowed: fn(char) -> bool = $allowed;
                match text.chars().find(|character| !allowed(*character)) {
                    Some(character) => Err(LabelError::Character(character)),
                    None => Ok(Self(text.to_owned())),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Appends the text after one byte of length.
            pub(crate) fn put(&self, out: &mut Vec<u8>) {
                let fits = put_short_text(out, &self.0);
                debug_assert!(fits, "the length was checked when the text was taken");
            }
        }

        impl TryFrom<String> for $name {
            type Error = LabelError;

            fn try_from(text: String) -> Result<Self, LabelError> {
                Self::new(&text)
            }
        }

        impl FromStr for $name {
            type Err = LabelError;

            fn from_str(text: &str) -> Result<Self, LabelError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(label: $name) -> String {
                label.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Reads a text after one byte of length.
pub(crate) fn take<T: FromStr>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<T, DecodeError> {
    reader
        .short_text(what)?
        .parse()
        .map_err(|_| DecodeError::Value(what))
}

label!(
    /// The name of an authority or a device family, as the authority writes it. May be empty: some
    /// authorities tell no family.
    Label, 0, 255, |character| !character.is_control()
);
label!(
    /// The name of a registry, and the origin line of its checkpoints: like a web address without
    /// its scheme.
    ChainId, 1, 64, |character| matches!(character, 'a'..='z' | '0'..='9' | '.' | '-' | '/')
);
label!(
    /// The name under which a validator signs checkpoints: like a web address without its scheme.
    KeyName, 1, 64, |character| character.is_ascii_graphic() && character != '+'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_printable_and_bounded() {
        assert_eq!(Label::new("").unwrap().as_str(), "");
        assert_eq!(Label::new("Kamera ü").unwrap().to_string(), "Kamera ü");
        assert_eq!(Label::new("a\nb"), Err(LabelError::Character('\n')));
        assert!(Label::new(&"x".repeat(255)).is_ok());
        let long = LabelError::Length {
            length: 256,
            min: 0,
            max: 255,
        };
        assert_eq!(Label::new(&"x".repeat(256)), Err(long));
    }

    #[test]
    fn names_on_checkpoints_have_no_space_and_no_plus() {
        assert!(KeyName::new("library.example/validator").is_ok());
        assert_eq!(KeyName::new("a b"), Err(LabelError::Character(' ')));
        assert_eq!(KeyName::new("a+b"), Err(LabelError::Character('+')));
        assert_eq!(KeyName::new("ä"), Err(LabelError::Character('ä')));
        assert!(KeyName::new("").is_err());
    }

    #[test]
    fn a_chain_id_is_lower_case() {
        assert!(ChainId::new("birthmark.example/registry-1").is_ok());
        assert_eq!(ChainId::new("Birthmark"), Err(LabelError::Character('B')));
        assert!(serde_json::from_str::<ChainId>("\"a b\"").is_err());
    }
}
