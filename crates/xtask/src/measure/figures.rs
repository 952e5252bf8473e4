//! What is counted in the files of a crate.

use std::collections::BTreeSet;

use super::fallbacks::Fallbacks;
use super::spread::Spread;
use super::wide_lines;
use crate::source::{Comment, Kind, Text, Token, closing};

/// A longer function does not fit on a screen.
const SCREEN: usize = 40;
/// A documentation of so few words says no more than the name does.
const FILLER: usize = 3;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    files: Spread,
    functions: Spread,
    /// Lines with code on them; blank lines and comments are none.
    code: usize,
    tests: usize,
    plain_comments: usize,
    doc_comments: usize,
    docs: Spread,
    fallbacks: Fallbacks,
    lines: usize,
    wide: usize,
}

impl Figures {
    /// Counts a file of a library or program, which may have tests in it.
    pub(super) fn take_code(&mut self, text: &str, cut: &Text) {
        self.files.push(text.lines().count());
        self.lines += text.lines().count();
        self.wide += wide_lines(text);
        self.code += code_lines(&cut.code);
        self.tests += code_lines(&cut.tests);
        self.take_comments(&cut.code);
        let code: Vec<_> = cut
            .code
            .iter()
            .filter(|token| !is_comment(token))
            .cloned()
            .collect();
        self.fallbacks.add(Fallbacks::of(&code));
        functions(&code).for_each(|length| self.functions.push(length));
    }

    /// Counts a file that is for tests only.
    pub(super) fn take_tests(&mut self, cut: &Text) {
        self.tests += code_lines(&cut.code) + code_lines(&cut.tests);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.files.add(other.files);
        self.functions.add(other.functions);
        self.docs.add(other.docs);
        self.fallbacks.add(other.fallbacks);
        self.code += other.code;
        self.tests += other.tests;
        self.plain_comments += other.plain_comments;
        self.doc_comments += other.doc_comments;
        self.lines += other.lines;
        self.wide += other.wide;
    }

    /// A crate's line in the table.
    pub(super) fn line(&self, name: &str) -> String {
        let (code, tests) = (self.code, self.tests);
        let ratio = ratio(tests, code);
        format!("  {name:<18} {code:>6} lines of code, {tests:>6} of tests: {ratio:.2}")
    }

    /// Everything else, in words.
    pub(super) fn lines(&self) -> Vec<String> {
        let functions = self.functions.count();
        let fallbacks = self.fallbacks;
        let filler = self.docs.count() - self.docs.over(FILLER);
        vec![
            format!(
                "files: {}, lines {}",
                self.files.count(),
                self.files.described()
            ),
            format!(
                "functions: {functions}, lines {}; {} ({:.1} %) have more than {SCREEN}",
                self.functions.described(),
                self.functions.over(SCREEN),
                100.0 * ratio(self.functions.over(SCREEN), functions),
            ),
            format!(
                "lines of code: {}, of tests: {}, tests per line of code: {:.2}",
                self.code,
                self.tests,
                ratio(self.tests, self.code)
            ),
            format!(
                "comments per 1000 lines of code: {:.0} in it, {:.0} of documentation",
                1000.0 * ratio(self.plain_comments, self.code),
                1000.0 * ratio(self.doc_comments, self.code)
            ),
            format!(
                "documentation of {FILLER} words or less: {filler} of {} ({:.1} %)",
                self.docs.count(),
                100.0 * ratio(filler, self.docs.count())
            ),
            format!(
                "fallbacks: {} unwrap_or_default, {} unwrap_or(constant), {} of conversions",
                fallbacks.defaults, fallbacks.constants, fallbacks.conversions
            ),
            format!(
                "Rust: {} of {} lines have more than 100 columns",
                self.wide, self.lines
            ),
        ]
    }

    fn take_comments(&mut self, tokens: &[Token]) {
        let mut words = 0;
        let mut last = None;
        for token in tokens {
            let Kind::Comment(reader) = token.kind else {
                continue;
            };
            let lines = 1 + token.text.matches('\n').count();
            if reader == Comment::Plain {
                self.plain_comments += lines;
                continue;
            }
            self.doc_comments += lines;
            // Lines that follow each other are one text.
            if last != Some((reader, token.line)) && words > 0 {
                self.docs.push(words);
                words = 0;
            }
            let text = token.text.trim_start_matches(['/', '!', '*']);
            words += text.split_whitespace().count();
            last = Some((reader, token.line + lines));
        }
        if words > 0 {
            self.docs.push(words);
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let (part, whole) = (part as f64, whole.max(1) as f64);
    part / whole
}

fn is_comment(token: &Token) -> bool {
    matches!(token.kind, Kind::Comment(_))
}

fn code_lines(tokens: &[Token]) -> usize {
    let code = tokens.iter().filter(|token| !is_comment(token));
    let lines = code.flat_map(|token| token.line..=token.line + token.text.matches('\n').count());
    lines.collect::<BTreeSet<_>>().len()
}

/// How many lines each function with a body has.
fn functions(code: &[Token]) -> impl Iterator<Item = usize> {
    let starts = code.iter().enumerate().filter(|(_, token)| token.is("fn"));
    starts.filter_map(|(start, token)| {
        // Without a name it is the type of a function.
        code.get(start + 1).filter(|name| name.kind == Kind::Name)?;
        let mut position = start;
        loop {
            let here = code.get(position)?;
            if here.is("{") {
                let end = code.get(closing(code, position))?;
                return Some(end.line - token.line + 1);
            }
            if here.is(";") {
                return None;
            }
            if here.is("(") || here.is("[") {
                position = closing(code, position);
            }
            position += 1;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! Of the\n//! whole file.\n\n/// Its name.\nfn a(x: [u8; 2]) -> fn(u8) {\n    \
                        // Why.\n    b()\n}\n\ntrait T {\n    fn c();\n}\n\n/// One more that\n/// says a \
                        lot.\nconst X: u8 = 1; // here\n\n#[cfg(test)]\nmod tests {\n    fn d() {}\n}\n";

    #[test]
    fn code_comments_and_tests_are_counted_apart() {
        let mut figures = Figures::default();
        figures.take_code(TEXT, &Text::of(TEXT));
        assert_eq!((figures.code, figures.tests), (7, 4));
        assert_eq!((figures.plain_comments, figures.doc_comments), (2, 5));
        assert_eq!(figures.docs.described(), "median 4, p90 6, max 6");
        assert_eq!(figures.functions.described(), "median 4, p90 4, max 4");
    }
}
