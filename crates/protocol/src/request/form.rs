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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{KeyIndex, TableId};

    /// What a reading of this body is refused for: place, kind and sentence.
    fn refused<T>(
        body: &str,
        read: impl FnOnce(Form<'_>) -> Result<T>,
    ) -> (String, &'static str, String) {
        match Form::read(body.as_bytes(), 1000, read) {
            Err(RequestError::Field(error)) => {
                let place = error.to_string();
                let place = place.split(": ").next().unwrap().to_owned();
                (place, error.kind, error.message)
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{body} was taken"),
        }
    }

    fn place_and_kind<T>(
        body: &str,
        read: impl FnOnce(Form<'_>) -> Result<T>,
    ) -> (String, &'static str) {
        let (place, kind, _) = refused(body, read);
        (place, kind)
    }

    #[test]
    fn a_body_beyond_its_limit_is_not_even_parsed() {
        let body = [b' '; 11];
        let error = Form::read(&body, 10, |_| Ok(())).unwrap_err();
        assert_eq!(error, RequestError::TooLarge { limit: 10 });
        assert!(Form::read(b"{}        ", 10, |_| Ok(())).is_ok());
        let (place, kind, _) = refused("{\"a\":}", |_| Ok(()));
        assert_eq!((&*place, kind), ("body[5]", "json_invalid"));
        let list = place_and_kind("[]", |_| Ok(()));
        assert_eq!(list, ("body".into(), "dict_type"));
    }

    #[test]
    fn each_kind_of_field_is_refused_by_its_name() {
        let number = |form: Form<'_>| form.number::<TableId>("n");
        for (body, kind) in [
            ("{}", "missing"),
            (r#"{"n":"7"}"#, "int_type"),
            (r#"{"n":7.0}"#, "int_type"),
            (r#"{"n":true}"#, "int_type"),
            (r#"{"n":null}"#, "int_type"),
            (r#"{"n":2500}"#, "value_error"),
            (r#"{"n":-1}"#, "value_error"),
            (r#"{"n":9223372036854775808}"#, "value_error"),
        ] {
            assert_eq!(
                place_and_kind(body, number),
                ("body.n".into(), kind),
                "{body}"
            );
        }
        let text = |form: Form<'_>| form.text("t").map(str::to_owned);
        for (body, kind) in [(r#"{"t":7}"#, "string_type"), ("{}", "missing")] {
            assert_eq!(
                place_and_kind(body, text),
                ("body.t".into(), kind),
                "{body}"
            );
        }
        let name = |form: Form<'_>| form.name("t").map(str::to_owned);
        for text in [String::new(), "x".repeat(256), "a\\nb".into()] {
            let body = format!("{{\"t\":\"{text}\"}}");
            assert_eq!(place_and_kind(&body, name).1, "value_error", "{body}");
        }
        let hex = |form: Form<'_>| form.hex::<2>("h");
        for text in ["", "abc", "abcdef", "zzzz"] {
            let (place, kind, message) = refused(&format!("{{\"h\":\"{text}\"}}"), hex);
            assert_eq!((&*place, kind), ("body.h", "value_error"), "{text}");
            assert_eq!(message, "expected 4 hexadecimal characters");
        }
    }

    /// Nothing and null are the same for a field that may be absent; anything else must fit.
    #[test]
    fn an_optional_field_is_absent_null_or_right() {
        let read = |body: &str| {
            let body = body.as_bytes();
            Form::read(body, 1000, |form| form.optional_digest("d"))
        };
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"d":null}"#), Ok(None));
        let digest = "ab".repeat(32);
        let given = read(&format!("{{\"d\":\"{digest}\"}}")).unwrap();
        assert_eq!(given.unwrap().to_string(), digest);
        assert!(read(r#"{"d":""}"#).is_err() && read(r#"{"d":7}"#).is_err());
    }

    #[test]
    fn an_item_of_a_list_is_named_by_its_place() {
        let three = |form: Form<'_>| form.numbers::<KeyIndex, 3>("k");
        for (body, place, kind) in [
            (r#"{"k":7}"#, "body.k", "list_type"),
            (r#"{"k":[1,2]}"#, "body.k", "value_error"),
            (r#"{"k":[1,2,3,4]}"#, "body.k", "value_error"),
            (r#"{"k":[1,"2",3]}"#, "body.k[1]", "int_type"),
            (r#"{"k":[1,2,1000]}"#, "body.k[2]", "value_error"),
        ] {
            assert_eq!(place_and_kind(body, three), (place.into(), kind), "{body}");
        }
        let inside = |form: Form<'_>| form.form("a")?.integer("n");
        let place = place_and_kind(r#"{"a":{"n":"x"}}"#, inside);
        assert_eq!(place, ("body.a.n".into(), "int_type"));
        assert_eq!(place_and_kind(r#"{"a":7}"#, inside).1, "dict_type");
    }

    /// One that cannot be read spoils no other, and too many are refused at once.
    #[test]
    fn things_of_a_list_are_opened_one_by_one() {
        let body = br#"{"all":[{"n":1},7,{"n":"x"},{"n":4}]}"#;
        let read = Form::read(body, 1000, |form| {
            let items = form.forms("all", 4)?;
            Ok(items.map(|item| item?.integer("n")).collect::<Vec<_>>())
        });
        let read = read.unwrap();
        assert_eq!((&read[0], &read[3]), (&Ok(1), &Ok(4)));
        let place = |place: usize| {
            let error = read[place].as_ref().unwrap_err().to_string();
            error.split(": ").next().unwrap().to_owned()
        };
        assert_eq!((&*place(1), &*place(2)), ("body.all[1]", "body.all[2].n"));
        let body = r#"{"all":[{},{}]}"#;
        let (place, kind, message) = refused(body, |form| form.forms("all", 1).map(|_| ()));
        assert_eq!((&*place, kind), ("body.all", "too_long"));
        assert_eq!(message, "expected at most 1 items, got 2");
    }
}
