//! JSON as other programs write it, read without losing anything that somebody may have signed.
//!
//! Stricter than most readers where two readers could disagree: a name stands once in an object,
//! nothing follows the value, nesting is bounded. More faithful where signatures depend on it:
//! integers keep all their digits.

mod reader;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deeply lists and objects may be nested. No request of this protocol needs more than four.
pub const MAX_DEPTH: usize = 32;
/// How many values one text may hold. A thousand questions of an authority's batch have a quarter
/// of that.
pub const MAX_VALUES: usize = 65_536;
/// How many digits an integer may have: as many as Python converts by default.
pub const MAX_DIGITS: usize = 4300;

/// An object. Names are ordered by code point, which is how Python sorts them.
pub type Object<'a> = BTreeMap<Cow<'a, str>, Value<'a>>;

/// Any JSON value. What needs no unescaping is not copied.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent.
    Integer(Integer<'a>),
    /// Any other number. Always finite.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// An integer of any size, as its decimal digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Integer<'a>(Cow<'a, str>);

/// Where a text stops being JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    /// How many bytes were read before the problem.
    pub at: usize,
    /// What is wrong there.
    pub problem: JsonProblem,
}

/// What makes a text something else than the JSON we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// The bytes are not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// Something else had to stand here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More than [`MAX_DEPTH`] levels.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_VALUES`] values, which would take many times the memory of their text.
    #[error("more than {MAX_VALUES} values")]
    TooMany,
    /// Two readers could pick different values.
    #[error("the name {0:?} stands twice in one object")]
    Duplicate(String),
    /// More than [`MAX_DIGITS`] digits, or a fraction beyond what 64 bits hold.
    #[error("the number is too large")]
    NumberTooLarge,
    /// Half of a surrogate pair is not a character.
    #[error("half a surrogate pair")]
    LoneSurrogate,
    /// Control characters must be escaped.
    #[error("an unescaped control character")]
    Control,
    /// Something follows the value.
    #[error("something follows the end")]
    Trailing,
}

impl<'a> Value<'a> {
    /// Reads exactly one value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
            at: error.valid_up_to(),
            problem: JsonProblem::NotUtf8,
        })?;
        reader::read(text)
    }
}

impl<'a> Integer<'a> {
    /// Takes digits with an optional minus sign. Zero has no sign.
    fn from_digits(text: &'a str) -> Self {
        Self(Cow::Borrowed(if text == "-0" { "0" } else { text }))
    }

    /// The decimal digits, with a minus sign in front of negative numbers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, if 64 bits hold it.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl From<i64> for Integer<'_> {
    fn from(number: i64) -> Self {
        Self(Cow::Owned(number.to_string()))
    }
}
