//! Values that take the place of a failure: `unwrap_or_default()`, `unwrap_or(constant)` and
//! `try_from(..).unwrap_or..(..)`.

use crate::source::{Kind, Token, closing};

/// How often each kind of fallback occurs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fallbacks {
    pub(super) defaults: usize,
    pub(super) constants: usize,
    pub(super) conversions: usize,
}

impl Fallbacks {
    pub(super) fn add(&mut self, other: Self) {
        self.defaults += other.defaults;
        self.constants += other.constants;
        self.conversions += other.conversions;
    }

    pub(super) fn of(tokens: &[Token]) -> Self {
        let mut found = Self::default();
        for (position, token) in tokens.iter().enumerate() {
            let is_fallback = token.text.starts_with("unwrap_or") && token.kind == Kind::Name;
            if !is_fallback {
                continue;
            }
            if follows_conversion(tokens, position) {
                found.conversions += 1;
            } else if token.is("unwrap_or_default") {
                found.defaults += 1;
            } else if token.is("unwrap_or") && takes_constant(tokens, position) {
                found.constants += 1;
            }
        }
        found
    }
}

/// Whether `try_from(…).` or `try_into().` stands before this.
fn follows_conversion(tokens: &[Token], position: usize) -> bool {
    let before = tokens.get(..position).unwrap_or(&[]);
    let conversion = before
        .iter()
        .rposition(|token| token.is("try_from") || token.is("try_into"));
    conversion.is_some_and(|at| closing(tokens, at + 1) + 2 == position)
}

/// Whether what is given to this call is the same each time: literals, constants, types.
fn takes_constant(tokens: &[Token], position: usize) -> bool {
    let end = closing(tokens, position + 1);
    let given = tokens.get(position + 2..end).unwrap_or(&[]);
    let names = given.iter().filter(|token| token.kind == Kind::Name);
    let is_constant = |name: &str| {
        let is_shouted = !name.contains(char::is_lowercase);
        let is_type = name.starts_with(char::is_uppercase);
        let is_number = ["u8", "u16", "u32", "u64", "u128", "usize", "i32", "i64"].contains(&name);
        is_shouted || is_type || is_number || ["true", "false", "new"].contains(&name)
    };
    names.into_iter().all(|name| is_constant(&name.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Text;

    #[test]
    fn each_kind_is_counted_once() {
        let text = "a.unwrap_or_default(); b.unwrap_or(0); c.unwrap_or(u64::MAX); d.unwrap_or(LIMIT); \
                    e.unwrap_or(other); f.unwrap_or_else(|| 0); u8::try_from(g(1)).unwrap_or(3); \
                    i64::try_from(h).unwrap_or_default(); u8::try_from(i)?; j.unwrap_or(\"\");";
        assert_eq!(
            Fallbacks::of(&Text::of(text).code),
            Fallbacks {
                defaults: 1,
                constants: 4,
                conversions: 2
            }
        );
    }
}
