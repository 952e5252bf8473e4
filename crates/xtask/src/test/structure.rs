//! The form of the source tree: no files that import each other, one style of modules, and no
//! document that names a test which is not there.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

use super::Options;
use super::step::Outcome;
use crate::circles;
use crate::house::{self, House};

/// Names tests as what proves a sentence.
const PROVEN: [&str; 2] = ["docs/ATTACKS.md", "docs/FINDINGS-OF-USE.md"];
/// The reviews' findings: the letters before their numbers, and how many there are. Each has its line
/// in one of the documents.
const FINDINGS: [(&str, [(&str, usize); 4]); 2] = [
    (PROVEN[0], [("C-", 1), ("H-", 9), ("M-", 17), ("L-", 18)]),
    (PROVEN[1], [("A", 8), ("B", 19), ("C", 9), ("D", 10)]),
];
/// A name in code marks with so many words is a test's.
const WORDS: usize = 4;

pub(super) fn structure(house: &House, _: &Options) -> Result<Outcome> {
    let circles = circles::run(house);
    // A module `foo` with children is `foo.rs` beside the folder `foo`.
    let other_style = house.tracked("*/mod.rs")?;
    for file in &other_style {
        house::say(&format!(
            "{}: the module's own name belongs on its file",
            file.display()
        ));
    }
    circles?;
    if !other_style.is_empty() {
        bail!("{} modules are called mod.rs", other_style.len());
    }
    named_tests_exist(house)?;
    findings_have_lines(house)?;
    Ok(Outcome::passed())
}

fn findings_have_lines(house: &House) -> Result<()> {
    for (document, series) in FINDINGS {
        let text = std::fs::read_to_string(house.path(document));
        let text = text.with_context(|| format!("cannot read {document}"))?;
        let missing: Vec<_> = missing_in(&text, &series).collect();
        if !missing.is_empty() {
            bail!("{document} has no line about {}", missing.join(", "));
        }
    }
    Ok(())
}

/// Findings of these series that no line of a table is about, or whose line says nothing.
fn missing_in(document: &str, series: &[(&str, usize)]) -> impl Iterator<Item = String> {
    let lines = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (about, said) = (cells.next()?, cells.find(|cell| !cell.is_empty()));
        said.map(|_| about.split([' ', ',']).map(str::to_owned))
    });
    let present: BTreeSet<_> = lines.flatten().collect();
    let all = series
        .iter()
        .flat_map(|(letters, count)| (1..=*count).map(move |number| format!("{letters}{number}")));
    let missing: Vec<_> = all.filter(|finding| !present.contains(finding)).collect();
    missing.into_iter()
}

fn named_tests_exist(house: &House) -> Result<()> {
    let mut functions = BTreeSet::new();
    for file in house.tracked("*.rs")? {
        let text = std::fs::read_to_string(&file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        functions.extend(functions_of(&text).map(str::to_owned));
    }
    for document in PROVEN {
        let text = std::fs::read_to_string(house.path(document));
        let text = text.with_context(|| format!("cannot read {document}"))?;
        let missing: Vec<_> = tests_named_in(&text)
            .filter(|name| !functions.contains(*name))
            .collect();
        if !missing.is_empty() {
            bail!("{document} names tests that are not there: {missing:?}");
        }
    }
    Ok(())
}

fn functions_of(code: &str) -> impl Iterator<Item = &str> {
    code.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !is_of_a_name(letter))?;
        rest.get(..end)
    })
}

fn tests_named_in(document: &str) -> impl Iterator<Item = &str> {
    let marked = document.split('`').skip(1).step_by(2);
    marked.filter(|name| name.chars().all(is_of_a_name) && name.split('_').count() >= WORDS)
}

fn is_of_a_name(letter: char) -> bool {
    matches!(letter, 'a'..='z' | '0'..='9' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_without_a_line_is_missed() {
        let text = "| H-1 disks | `a_test` |\n| H-2, H-4 memory | open |\n| H-5 |  |\nH-3 | x |";
        let missing: Vec<_> = missing_in(text, &[("H-", 5), ("A", 1)]).collect();
        assert_eq!(missing, ["H-3", "H-5", "A1"]);
    }

    #[test]
    fn a_document_names_tests_between_code_marks() {
        let text = "| `a_test_that_is_there`, `front.py` | `a_setting` | `cargo xtask test` |";
        let named: Vec<_> = tests_named_in(text).collect();
        assert_eq!(named, ["a_test_that_is_there"]);
        let code = "async fn a_test_that_is_there() {}\npub fn other<T>(";
        let found: Vec<_> = functions_of(code).collect();
        assert_eq!(found, ["a_test_that_is_there", "other"]);
    }
}
