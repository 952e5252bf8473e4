//! Examples in documentation, which the compiler can try.

use super::Text;
use super::lexer::Kind;

/// Whether the documentation of this source text has an example in Rust: a fence without a
/// language, or with one of rustdoc's own words.
pub(crate) fn has_example(text: &str) -> bool {
    let mut is_inside = false;
    for token in Text::of(text).code {
        if !matches!(token.kind, Kind::Comment(_)) {
            // A fence that is not closed ends with its comment.
            is_inside = false;
            continue;
        }
        for line in token.text.lines() {
            let line = line.trim_start_matches(['/', '!', '*', ' ']);
            let Some(language) = line.strip_prefix("```") else {
                continue;
            };
            if !is_inside && is_rust(language) {
                return true;
            }
            is_inside = !is_inside;
        }
    }
    false
}

fn is_rust(language: &str) -> bool {
    let words = ["", "rust", "no_run", "should_panic", "compile_fail"];
    let mut given = language.split(',').map(str::trim);
    given.all(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rust_is_an_example() {
        assert!(has_example("/// ```\n/// let a = 1;\n/// ```\nfn f() {}"));
        assert!(has_example("//! ```rust,no_run\n//! run();\n//! ```\n"));
        assert!(!has_example("/// ```text\n/// a = 1\n/// ```\nfn f() {}"));
        assert!(!has_example("/// Words.\nfn f() { let x = \"/// ```\"; }"));
        let second =
            "/// ```text\n/// a\n/// ```\nfn f() {}\n/// ```\n/// g();\n/// ```\nfn g() {}";
        assert!(has_example(second));
    }
}
