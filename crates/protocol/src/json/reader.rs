//! One pass over the text, recursive as deep as `MAX_DEPTH`.

use std::borrow::Cow;

use super::{Integer, JsonError, JsonProblem, MAX_DEPTH, MAX_DIGITS, MAX_VALUES, Object, Value};

type Result<T> = std::result::Result<T, JsonError>;

pub(super) fn read(text: &str) -> Result<Value<'_>> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        values: 0,
    };
    reader.skip_space();
    let value = reader.value()?;
    reader.skip_space();
    if reader.peek().is_some() {
        Err(reader.error(JsonProblem::Trailing))
    } else {
        Ok(value)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError {
            at: self.at,
            problem,
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<()> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error(JsonProblem::Expected(name)))
        }
    }

    /// The text from `start` up to here.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self) -> Result<Value<'a>> {
        if self.values == MAX_VALUES {
            return Err(self.error(JsonProblem::TooMany));
        }
        self.values += 1;
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.error(JsonProblem::Expected("a value"))),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.error(JsonProblem::Expected("a value")));
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value<'a>>) -> Result<Value<'a>> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(JsonProblem::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value<'a>> {
        let mut list = Vec::new();
        if self.take(b']') {
            return Ok(Value::List(list));
        }
        loop {
            list.push(self.value()?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::List(list));
            }
            self.expect(b',', "a comma or the end of the list")?;
            self.skip_space();
        }
    }

    fn object(&mut self) -> Result<Value<'a>> {
        let mut object = Object::new();
        if self.take(b'}') {
            return Ok(Value::Object(object));
        }
        loop {
            self.member(&mut object)?;
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(object));
            }
            self.expect(b',', "a comma or the end of the object")?;
            self.skip_space();
        }
    }

    fn member(&mut self, object: &mut Object<'a>) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.error(JsonProblem::Expected("a name")));
        }
        let start = self.at;
        let name = self.string()?;
        self.skip_space();
        self.expect(b':', "a colon")?;
        self.skip_space();
        let value = self.value()?;
        if object.contains_key(&name) {
            let name = name.chars().take(64).collect();
            return Err(JsonError {
                at: start,
                problem: JsonProblem::Duplicate(name),
            });
        }
        object.insert(name, value);
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let plain = self.plain();
        // Nearly every text ends before anything is escaped, and then needs no copy.
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut out = plain.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error(JsonProblem::Control)),
                None => return Err(self.error(JsonProblem::Expected("the end of the text"))),
            }
            out.push_str(self.plain());
        }
    }

    /// Steps over text that stands for itself.
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let ends = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
        self.since(start)
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error(JsonProblem::Expected("an escape"))),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 1;
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.take(b'\\') && self.take(b'u') {
            let second = self.hex4()?;
            let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400);
            low.map(|low| 0x1_0000 + ((first - 0xD800) << 10) + low)
        } else {
            Some(first)
        };
        let character = code.and_then(char::from_u32);
        character.ok_or(JsonError {
            at: start,
            problem: JsonProblem::LoneSurrogate,
        })
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.error(JsonProblem::Expected("four hexadecimal digits")));
        }
        let code = u32::from_str_radix(digits, 16);
        let code =
            code.map_err(|_| self.error(JsonProblem::Expected("four hexadecimal digits")))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Value<'a>> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let integer = self.since(start);
        let fraction = self.take(b'.');
        if fraction {
            self.digits()?;
        }
        let exponent = self.take(b'e') || self.take(b'E');
        if exponent {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let too_large = JsonError {
            at: start,
            problem: JsonProblem::NumberTooLarge,
        };
        if !fraction && !exponent {
            let digits = integer.trim_start_matches('-').len();
            return if digits > MAX_DIGITS {
                Err(too_large)
            } else {
                Ok(Value::Integer(Integer::from_digits(integer)))
            };
        }
        match self.since(start).parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(too_large),
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.error(JsonProblem::Expected("a digit")))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
