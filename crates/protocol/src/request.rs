//! What requests have in common: JSON objects whose problems are named by field, in the form HTTP
//! clients expect.

mod form;

use std::fmt;

use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use crate::json::JsonError;

pub(crate) use form::Form;

/// Why a request is refused before anybody looks at what it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// More bytes than this request may have: 413.
    TooLarge {
        /// How many it may have.
        limit: usize,
    },
    /// Well formed, and still no: 400 with a sentence.
    Sentence(String),
    /// A field is missing or holds something else: 422 with its place.
    Field(FieldError),
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where the field is, from the outside in, without the leading `body`.
    pub path: Vec<Step>,
    /// What is wrong, for people.
    pub message: String,
    /// What is wrong, for programs: `missing`, `string_type`, `value_error` and so on.
    pub kind: &'static str,
}

/// One step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the field of this name.
    Field(&'static str),
    /// Into this item of a list; for a body that is not JSON, to this byte.
    Index(usize),
}

impl RequestError {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::Sentence(_) => 400,
            Self::Field(_) => 422,
        }
    }

    /// A body that is not JSON.
    pub(crate) fn json(error: &JsonError) -> Self {
        Self::Field(FieldError {
            path: vec![Step::Index(error.at)],
            message: format!("the body is not the JSON we read: {error}"),
            kind: "json_invalid",
        })
    }
}

/// The body of the answer: `{"detail": "sentence"}` or
/// `{"detail": [{"loc": ["body", …], "msg": …, "type": …}]}`.
impl Serialize for RequestError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("RequestError", 1)?;
        match self {
            Self::Field(error) => body.serialize_field("detail", &[error])?,
            other => body.serialize_field("detail", &other.to_string())?,
        }
        body.end()
    }
}

impl Serialize for FieldError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("FieldError", 3)?;
        error.serialize_field("loc", &Location(&self.path))?;
        error.serialize_field("msg", &self.message)?;
        error.serialize_field("type", self.kind)?;
        error.end()
    }
}

struct Location<'a>(&'a [Step]);

impl Serialize for Location<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut steps = serializer.serialize_seq(Some(self.0.len() + 1))?;
        steps.serialize_element("body")?;
        for step in self.0 {
            match step {
                Step::Field(name) => steps.serialize_element(name)?,
                Step::Index(index) => steps.serialize_element(index)?,
            }
        }
        steps.end()
    }
}

impl std::error::Error for RequestError {}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::Sentence(sentence) => f.write_str(sentence),
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("body")?;
        for step in &self.path {
            match step {
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_by_its_place() {
        let path = vec![
            Step::Field("image_hashes"),
            Step::Index(1),
            Step::Field("image_hash"),
        ];
        let error = RequestError::Field(FieldError {
            path,
            message: "expected 64".into(),
            kind: "value_error",
        });
        let body = serde_json::to_string(&error).unwrap();
        assert_eq!(
            body,
            r#"{"detail":[{"loc":["body","image_hashes",1,"image_hash"],"msg":"expected 64","type":"value_error"}]}"#
        );
        assert_eq!(
            error.to_string(),
            "body.image_hashes[1].image_hash: expected 64"
        );
        assert_eq!(error.status(), 422);
    }

    #[test]
    fn a_sentence_is_a_sentence() {
        let error = RequestError::Sentence("unknown table 2500".into());
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"detail":"unknown table 2500"}"#
        );
        assert_eq!(
            (error.status(), RequestError::TooLarge { limit: 1 }.status()),
            (400, 413)
        );
    }
}
