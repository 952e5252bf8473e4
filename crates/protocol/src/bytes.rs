//! Canonical bytes: the one way our own formats are written and strictly read back.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// A value this format does not allow.
    #[error("{0} has a value that is not allowed")]
    Value(&'static str),
    /// Something follows the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// Written by a version this program does not know.
    #[error("version {0} is not known")]
    Version(u8),
}

/// Reads canonical bytes from the front.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated(what))?;
        self.0 = rest;
        Ok(*head)
    }

    /// Takes `count` bytes.
    #[inline]
    pub fn slice(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(DecodeError::Truncated(what))?;
        self.0 = rest;
        Ok(head)
    }

    /// Takes one byte.
    #[inline]
    pub fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Takes a byte that must be 0 or 1.
    #[inline]
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value(what)),
        }
    }

    /// Takes a flag and, if it is set, 32 bytes.
    pub fn optional32(&mut self, what: &'static str) -> Result<Option<[u8; 32]>, DecodeError> {
        if self.flag(what)? {
            self.array(what).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes a text with its length in one byte.
    pub fn short_text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.byte(what)?);
        std::str::from_utf8(self.slice(length, what)?).map_err(|_| DecodeError::Value(what))
    }

    /// How many bytes are left.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Succeeds when nothing is left.
    pub const fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.0.len()))
        }
    }
}

/// Writes a flag and, if there is a value, its 32 bytes.
pub fn put_optional32(out: &mut Vec<u8>, value: Option<&[u8; 32]>) {
    out.push(u8::from(value.is_some()));
    out.extend(value.into_iter().flatten());
}

/// Writes a text with its length in one byte; false when it is longer than 255 bytes and nothing
/// was written.
#[must_use]
pub fn put_short_text(out: &mut Vec<u8>, text: &str) -> bool {
    let Ok(length) = u8::try_from(text.len()) else {
        return false;
    };
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length that promises more than there is must neither panic nor move the reader.
    #[test]
    fn what_ends_too_early_is_named_and_nothing_is_taken() {
        let bytes = [5, b'a', b'b'];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.array::<4>("key"), Err(DecodeError::Truncated("key")));
        assert_eq!(
            reader.slice(usize::MAX, "body"),
            Err(DecodeError::Truncated("body"))
        );
        assert_eq!(reader.remaining(), 3);
        assert_eq!(
            reader.short_text("name"),
            Err(DecodeError::Truncated("name"))
        );
        let error = Reader::new(&[]).byte("flag").unwrap_err();
        assert_eq!(error.to_string(), "the bytes end inside flag");
    }

    #[test]
    fn there_is_one_way_to_write_each_value() {
        // A flag is 0 or 1, and an absent value has no bytes.
        assert_eq!(Reader::new(&[2]).flag("is"), Err(DecodeError::Value("is")));
        let absent = Reader::new(&[0]).optional32("digest");
        assert_eq!(absent, Ok(None));
        for value in [None, Some(&[7; 32])] {
            let mut out = Vec::new();
            put_optional32(&mut out, value);
            assert_eq!(out.len(), value.map_or(1, |_| 33));
            let mut reader = Reader::new(&out);
            assert_eq!(reader.optional32("digest"), Ok(value.copied()));
            assert_eq!(reader.end(), Ok(()));
        }
        let mut reader = Reader::new(&[1, b'a', 9, 9]);
        assert_eq!(reader.short_text("name"), Ok("a"));
        assert_eq!(reader.end(), Err(DecodeError::Trailing(2)));
    }

    #[test]
    fn short_texts_are_utf_8_of_at_most_255_bytes() {
        for text in ["", "é", &"x".repeat(255)] {
            let mut out = Vec::new();
            assert!(put_short_text(&mut out, text));
            assert_eq!(Reader::new(&out).short_text("name"), Ok(text));
        }
        let mut out = vec![7];
        assert!(!put_short_text(&mut out, &"x".repeat(256)));
        assert_eq!(out, [7], "nothing was written");
        let half_a_character = Reader::new(&[1, 0xC3]).short_text("name");
        assert_eq!(half_a_character, Err(DecodeError::Value("name")));
    }
}
