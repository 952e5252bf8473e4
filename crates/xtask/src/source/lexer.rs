//! Names, signs, literals and comments of a source text, each with its line.

/// What a piece of source text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Name,
    /// One sign, or `::`.
    Sign,
    /// A string, a character, a number or a lifetime.
    Literal,
    /// `//`, `///`, `//!` or a block.
    Comment(Comment),
}

/// Whom a comment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comment {
    /// Readers of the documentation: of what follows, or of the whole file.
    Outer,
    /// Of the file it stands in.
    Inner,
    /// Readers of the code.
    Plain,
}

/// A piece of source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The line it begins in, counted from 1.
    pub(crate) line: usize,
}

impl Token {
    /// Whether this is that name or sign.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Name | Kind::Sign) && self.text == text
    }
}

/// Cuts a source text into its pieces.
pub(crate) fn cut(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
    };
    std::iter::from_fn(|| lexer.next()).collect()
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Token> {
        self.take(self.rest.len() - self.rest.trim_start().len());
        let first = self.rest.chars().next()?;
        let (kind, length) = self.measure(first);
        let line = self.line;
        let text = self.take(length.clamp(first.len_utf8(), self.rest.len()));
        Some(Token { kind, text, line })
    }

    /// What stands at the beginning of the rest, and how many bytes it has.
    fn measure(&self, first: char) -> (Kind, usize) {
        let rest = self.rest;
        if let Some(comment) = comment(rest) {
            return comment;
        }
        if let Some(length) = string(rest) {
            return (Kind::Literal, length);
        }
        if first == '\'' {
            return (Kind::Literal, quote(rest));
        }
        if first.is_ascii_digit() {
            return (Kind::Literal, number(rest));
        }
        if is_name(first) || rest.starts_with("r#") {
            let prefix = if rest.starts_with("r#") { 2 } else { 0 };
            return (Kind::Name, prefix + length_while(&rest[prefix..], is_name));
        }
        let sign = if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        (Kind::Sign, sign)
    }

    fn take(&mut self, length: usize) -> String {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn length_while(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

fn comment(rest: &str) -> Option<(Kind, usize)> {
    let length = if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment(rest)
    } else {
        return None;
    };
    let reader = match rest.get(2..3) {
        Some("!") => Comment::Inner,
        Some("/") if !rest.starts_with("////") => Comment::Outer,
        Some("*") if rest.starts_with("/**") && !rest.starts_with("/**/") => Comment::Outer,
        _ => Comment::Plain,
    };
    Some((Kind::Comment(reader), length))
}

/// Block comments may stand inside each other.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut position) = (0usize, 0);
    while position < rest.len() {
        let here = rest.as_bytes().get(position..).unwrap_or(b"");
        if here.starts_with(b"/*") {
            (depth, position) = (depth + 1, position + 2);
        } else if here.starts_with(b"*/") {
            (depth, position) = (depth - 1, position + 2);
            if depth == 0 {
                break;
            }
        } else {
            position += 1;
        }
    }
    position
}

/// The length of the string literal that begins here, if one does.
fn string(rest: &str) -> Option<usize> {
    let prefix = length_while(rest, |letter| matches!(letter, 'b' | 'c' | 'r'));
    let marks = length_while(&rest[prefix..], |letter| letter == '#');
    let raw = rest[..prefix].contains('r');
    let open = prefix + marks;
    if prefix > 2 || (marks > 0 && !raw) || !rest[open..].starts_with('"') {
        return None;
    }
    let body = &rest[open + 1..];
    let length = if raw {
        let end = format!("\"{}", "#".repeat(marks));
        body.find(&end).map_or(body.len(), |at| at + end.len())
    } else {
        until_unescaped(body, b'"')
    };
    Some(open + 1 + length)
}

/// How many bytes there are to the first such quote without a backslash before it, with it.
fn until_unescaped(body: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (position, byte) in body.bytes().enumerate() {
        if byte == quote && !escaped {
            return position + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    body.len()
}

/// A character, or a lifetime: that is a name without a second quote behind it.
fn quote(rest: &str) -> usize {
    let body = &rest[1..];
    let name = length_while(body, is_name);
    match body[name..].chars().next() {
        Some('\'') => name + 2,
        _ if name > 0 => name + 1,
        _ => 1 + until_unescaped(body, b'\''),
    }
}

/// A number with its dot, exponent and type. The dots of a range and of a method do not belong to
/// it.
fn number(rest: &str) -> usize {
    let whole = length_while(rest, is_name);
    let mut behind = rest[whole..].chars();
    match (behind.next(), behind.next()) {
        (Some('.'), Some(digit)) if digit.is_ascii_digit() => {
            whole + 1 + length_while(&rest[whole + 1..], is_name)
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        cut(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn names_and_signs_are_told_apart() {
        assert_eq!(
            texts("use crate::a::{B, r#type};"),
            [
                "use", "crate", "::", "a", "::", "{", "B", ",", "r#type", "}", ";"
            ]
        );
    }

    #[test]
    fn what_looks_like_code_in_a_text_is_none() {
        for source in [
            r#"x("use crate::a; \" }")"#,
            r##"x(r#"use "crate"::a }"#)"##,
            r#"x(b"}{")"#,
            "x(/* use /* crate */ ::a } */ 'a')",
            r"x('}')",
            r"x('\'')",
            r"x('\u{7d}')",
        ] {
            let pieces = cut(source);
            let signs = pieces.iter().filter(|token| token.kind == Kind::Sign);
            let signs: Vec<_> = signs.map(|token| token.text.as_str()).collect();
            assert_eq!(signs, ["(", ")"], "{source}");
        }
    }

    #[test]
    fn a_lifetime_is_no_open_character() {
        assert_eq!(texts("&'a str, 'b'"), ["&", "'a", "str", ",", "'b'"]);
    }

    #[test]
    fn numbers_keep_their_dot_and_ranges_theirs() {
        assert_eq!(
            texts("1.5e3 0..7 1.max(2)"),
            ["1.5e3", "0", ".", ".", "7", "1", ".", "max", "(", "2", ")"]
        );
    }

    #[test]
    fn comments_know_their_reader_and_their_line() {
        let pieces = cut("//! a\n\n/// b\n// c\nfn d() {}\n//// e\n");
        let comments: Vec<_> = pieces
            .iter()
            .filter_map(|token| match token.kind {
                Kind::Comment(reader) => Some((reader, token.line)),
                _ => None,
            })
            .collect();
        assert_eq!(
            comments,
            [
                (Comment::Inner, 1),
                (Comment::Outer, 3),
                (Comment::Plain, 4),
                (Comment::Plain, 6)
            ]
        );
    }
}
