//! Reads typed fields out of a JSON object and remembers where it is.

use std::fmt::Display;

use super::{FieldError, RequestError, Step};
use crate::digest::Digest;
use crate::hexadecimal;
use crate::json::{Object, Value};
use crate::numbers::{OutOfRange, Timestamp};

type Result<T> = std::result::Result<T, RequestError>;

/// An object inside a request. Fields that nobody asks for are ignored.
#[derive(Clone)]
pub(crate) struct Form<'a> {
    object: &'a Object<'a>,
    path: Vec<Step>,
}

/// Reads a body of at most `limit` bytes.
pub(crate) fn read_body(body: &[u8], limit: usize) -> Result<Value<'_>> {
    if body.len() > limit {
        return Err(RequestError::TooLarge { limit });
    }
    Value::parse(body).map_err(|error| RequestError::json(&error))
}

impl<'a> Form<'a> {
    /// Reads a body of at most `limit` bytes and passes its object to `read`.
    pub(crate) fn read<T>(
        body: &[u8],
        limit: usize,
        read: impl FnOnce(Form<'_>) -> Result<T>,
    ) -> Result<T> {
        let body = read_body(body, limit)?;
        read(Form::open(&body, Vec::new())?)
    }

    fn open(value: &'a Value<'a>, path: Vec<Step>) -> Result<Self> {
        match value {
            Value::Object(object) => Ok(Self { object, path }),
            _ => Err(error(path, "dict_type", "expected an object")),
        }
    }

    /// The object itself.
    pub(crate) const fn object(&self) -> &'a Object<'a> {
        self.object
    }

    /// The refusal of one field.
    pub(crate) fn refuse(
        &self,
        name: &'static str,
        kind: &'static str,
        message: impl Display,
    ) -> RequestError {
        error(self.path_to(name), kind, message)
    }

    /// The refusal of a field's value.
    pub(crate) fn wrong(&self, name: &'static str, message: impl Display) -> RequestError {
        self.refuse(name, "value_error", message)
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.optional(name).is_some()
    }

    fn path_to(&self, name: &'static str) -> Vec<Step> {
        self.path
            .iter()
            .cloned()
            .chain([Step::Field(name)])
            .collect()
    }

    /// A field that may be absent or null.
    fn optional(&self, name: &str) -> Option<&'a Value<'a>> {
        self.object.get(name).filter(|value| **value != Value::Null)
    }

    fn required(&self, name: &'static str) -> Result<&'a Value<'a>> {
        self.object
            .get(name)
            .ok_or_else(|| self.refuse(name, "missing", "field required"))
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<&'a str> {
        match self.required(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.refuse(name, "string_type", "expected a text")),
        }
    }

    /// A text of 1 to 255 bytes without control characters: a name.
    pub(crate) fn name(&self, name: &'static str) -> Result<&'a str> {
        let text = self.text(name)?;
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            return Err(self.wrong(
                name,
                "expected 1 to 255 bytes of text without control characters",
            ));
        }
        Ok(text)
    }

    /// 64 hexadecimal characters in either case.
    pub(crate) fn digest(&self, name: &'static str) -> Result<Digest> {
        self.text(name)?
            .parse()
            .map_err(|problem| self.wrong(name, problem))
    }

    /// 64 hexadecimal characters, null or nothing.
    pub(crate) fn optional_digest(&self, name: &'static str) -> Result<Option<Digest>> {
        if self.has(name) {
            self.digest(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// `N` bytes in hexadecimal of either case.
    pub(crate) fn hex<const N: usize>(&self, name: &'static str) -> Result<[u8; N]> {
        hexadecimal::decode(self.text(name)?).ok_or_else(|| {
            self.wrong(
                name,
                format_args!("expected {} hexadecimal characters", N * 2),
            )
        })
    }

    /// An integer.
    pub(crate) fn integer(&self, name: &'static str) -> Result<i64> {
        integer(self.required(name)?).map_err(|(kind, message)| self.refuse(name, kind, message))
    }

    /// An integer within the range of its type.
    pub(crate) fn number<T: TryFrom<i64, Error = OutOfRange>>(
        &self,
        name: &'static str,
    ) -> Result<T> {
        T::try_from(self.integer(name)?).map_err(|problem| self.wrong(name, problem))
    }

    /// Seconds since 1970.
    pub(crate) fn timestamp(&self, name: &'static str) -> Result<Timestamp> {
        self.integer(name).map(Timestamp::from_unix)
    }

    /// Exactly `N` integers, each within the range of its type.
    pub(crate) fn numbers<T: TryFrom<i64, Error = OutOfRange>, const N: usize>(
        &self,
        name: &'static str,
    ) -> Result<[T; N]> {
        let mut numbers = Vec::with_capacity(N);
        for (index, item) in self.list(name)?.iter().enumerate() {
            let at = |kind, message: String| {
                error(
                    self.path_to(name)
                        .into_iter()
                        .chain([Step::Index(index)])
                        .collect(),
                    kind,
                    message,
                )
            };
            let number = integer(item).map_err(|(kind, message)| at(kind, message.into()))?;
            numbers.push(
                T::try_from(number).map_err(|problem| at("value_error", problem.to_string()))?,
            );
        }
        numbers
            .try_into()
            .map_err(|_| self.wrong(name, format_args!("expected {N} numbers")))
    }

    fn list(&self, name: &'static str) -> Result<&'a [Value<'a>]> {
        match self.required(name)? {
            Value::List(list) => Ok(list),
            _ => Err(self.refuse(name, "list_type", "expected a list")),
        }
    }

    /// An object inside this one.
    pub(crate) fn form(&self, name: &'static str) -> Result<Form<'a>> {
        Form::open(self.required(name)?, self.path_to(name))
    }

    /// A list of at most `limit` things, each still to be opened, so that one that is no object
    /// does not spoil the others.
    pub(crate) fn forms(
        &self,
        name: &'static str,
        limit: usize,
    ) -> Result<impl Iterator<Item = Result<Form<'a>>>> {
        let list = self.list(name)?;
        if list.len() > limit {
            return Err(self.refuse(
                name,
                "too_long",
                format_args!("expected at most {limit} items, got {}", list.len()),
            ));
        }
        let path = self.path_to(name);
        Ok(list.iter().enumerate().map(move |(index, item)| {
            let path = path.iter().cloned().chain([Step::Index(index)]).collect();
            Form::open(item, path)
        }))
    }
}

fn error(path: Vec<Step>, kind: &'static str, message: impl Display) -> RequestError {
    RequestError::Field(FieldError {
        path,
        message: message.to_string(),
        kind,
    })
}

fn integer(value: &Value<'_>) -> std::result::Result<i64, (&'static str, &'static str)> {
    match value {
        Value::Integer(integer) => integer
            .to_i64()
            .ok_or(("value_error", "the number does not fit 64 bits")),
        _ => Err(("int_type", "expected an integer")),
    }
}
