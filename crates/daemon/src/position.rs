//! Where in a TOML text something stands: the line and column a person looks for.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The position of a byte in `text`.
    pub(crate) fn of(text: &str, byte: usize) -> Self {
        // A byte behind the end means the end: a missing field is missed there.
        let before = text.get(..byte).map_or(text, |before| before);
        let in_line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        Self {
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
        }
    }

    /// The position of the key at `path`, or of the nearest table above it that the text has. A
    /// number in the path is the place in a list, counted from 0: of two `[[authorities]]` the
    /// second one's `id` is `authorities.1.id`.
    pub(crate) fn of_field(text: &str, path: &str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?;
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let (key, mut value) = entry(document.get_ref(), first)?;
        let mut found = key.start;
        for name in rest.split('.') {
            let inner = match value.get_ref() {
                DeValue::Table(table) => entry(table, name).map(|(key, inner)| (key.start, inner)),
                DeValue::Array(items) => name
                    .parse()
                    .ok()
                    .and_then(|place: usize| items.get(place))
                    .map(|item| (item.span().start, item)),
                _ => None,
            };
            let Some((start, inner)) = inner else { break };
            (found, value) = (start, inner);
        }
        Some(Self::of(text, found))
    }
}

fn entry<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<(Range<usize>, &'t Spanned<DeValue<'i>>)> {
    table
        .iter()
        .find(|(key, _)| key.get_ref() == name)
        .map(|(key, value)| (key.span(), value))
}

/// The dotted path of the field a parse error speaks of.
pub(crate) fn field_of(error: &toml::de::Error, text: &str) -> Option<String> {
    let span = error.span()?;
    let document = DeTable::parse(text).ok()?;
    path_to(document.get_ref(), &span)
}

/// The longest path whose key or value is exactly at `span`.
fn path_to(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    for (key, value) in table {
        let name = key.get_ref();
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(rest) = path_to(inner, span)
        {
            return Some(format!("{name}.{rest}"));
        }
        if key.span() == *span || value.span() == *span {
            return Some(name.to_string());
        }
        if let DeValue::Array(items) = value.get_ref()
            && let Some(rest) = items.iter().find_map(|item| path_into(item, span))
        {
            return Some(format!("{name}{rest}"));
        }
    }
    None
}

/// The rest of a path that goes through one item of an array.
fn path_into(item: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    if item.span() == *span {
        return Some(String::new());
    }
    match item.get_ref() {
        DeValue::Table(table) => path_to(table, span).map(|rest| format!(".{rest}")),
        DeValue::Array(items) => items.iter().find_map(|item| path_into(item, span)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_newlines() {
        let text = "a = 1\n\"é\" = 2\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 11), Position { line: 2, column: 5 });
        assert_eq!(Position::of(text, 999).line, 3);
    }

    #[test]
    fn the_nearest_table_stands_in_for_an_absent_field() {
        let text = "[http]\nlisten = 1\n";
        let line = |path| Position::of_field(text, path).map(|position| position.line);
        assert_eq!(line("http.listen"), Some(2));
        assert_eq!(line("http.limit"), Some(1));
        assert_eq!(line("store"), None);
    }

    #[test]
    fn an_entry_of_a_list_has_its_own_line() {
        let text = "[[lamps]]\nname = 1\n\n[[lamps]]\nname = 2\n";
        let line = |path| Position::of_field(text, path).map(|position| position.line);
        assert_eq!(line("lamps.0.name"), Some(2));
        assert_eq!(line("lamps.1.name"), Some(5));
        assert_eq!(line("lamps.2.name"), Some(1));
    }
}
