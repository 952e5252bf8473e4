//! Rust source text, cut into the pieces that the checks of the house look at.
//!
//! Not a parser of Rust: it knows comments, strings, names and brackets, which is what it takes to
//! find imports, functions and comments without mistaking a text for code.

mod examples;
mod lexer;
mod modules;

pub(crate) use examples::has_example;
pub(crate) use lexer::{Comment, Kind, Token};
pub(crate) use modules::{Crate, Usage};

/// A source text, what is compiled for tests only set apart.
pub(crate) struct Text {
    pub(crate) code: Vec<Token>,
    pub(crate) tests: Vec<Token>,
}

impl Text {
    pub(crate) fn of(text: &str) -> Self {
        let tokens = lexer::cut(text);
        let (mut code, mut tests) = (vec![], vec![]);
        let mut position = 0;
        while let Some(token) = tokens.get(position) {
            let (end, is_test) = if token.is("#") {
                attribute(&tokens, position)
            } else {
                (position + 1, false)
            };
            let end = if is_test {
                end_of_item(&tokens, end)
            } else {
                end
            };
            let taken = tokens.get(position..end).unwrap_or(&[]);
            let place = if is_test { &mut tests } else { &mut code };
            place.extend_from_slice(taken);
            position = end;
        }
        Self { code, tests }
    }
}

/// Where the attribute at `start` ends, and whether it keeps what follows for tests.
fn attribute(tokens: &[Token], start: usize) -> (usize, bool) {
    let is_at = |position: usize, sign: &str| tokens.get(position).is_some_and(|it| it.is(sign));
    if !is_at(start + 1, "[") {
        return (start + 1, false);
    }
    let end = (closing(tokens, start + 1) + 1).min(tokens.len());
    let inside = tokens.get(start..end).unwrap_or(&[]);
    let has = |name: &str| inside.iter().any(|token| token.is(name));
    (end, has("cfg") && has("test") && !has("not") && !has("any"))
}

/// The position of the bracket that closes the one at `open`, or the end where none does.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (position, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|sign| token.is(sign)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|sign| token.is(sign)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return position;
            }
        }
    }
    tokens.len()
}

/// Where the item that starts at `start` ends: behind its `;` or its closing brace.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut position = start;
    while let Some(token) = tokens.get(position) {
        if token.is(";") {
            return position + 1;
        }
        if token.is("{") {
            return (closing(tokens, position) + 1).min(tokens.len());
        }
        // Of a field or an argument; the bracket belongs to what is around it.
        if ["}", ")", "]"].iter().any(|sign| token.is(sign)) {
            return position;
        }
        if token.is("(") || token.is("[") {
            position = closing(tokens, position);
        }
        position += 1;
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tokens: &[Token]) -> Vec<&str> {
        let names = tokens.iter().filter(|token| token.kind == Kind::Name);
        names.map(|token| token.text.as_str()).collect()
    }

    #[test]
    fn what_is_for_tests_is_set_apart() {
        let text = Text::of(
            "fn a() {} #[cfg(test)] #[allow(x)] pub(crate) fn b(c: [u8; 2]) { { } } #[cfg(test)] \
             mod d; #[cfg(not(test))] fn e() {} struct F { #[cfg(test)] g: u8 } fn h() {}",
        );
        assert_eq!(
            names(&text.code),
            [
                "fn", "a", "cfg", "not", "test", "fn", "e", "struct", "F", "fn", "h"
            ]
        );
        assert!(names(&text.tests).ends_with(&["mod", "d", "cfg", "test", "g", "u8"]));
    }
}
