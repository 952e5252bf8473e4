//! `cargo xtask circles`: files of a crate that import each other, directly or in a round.
//!
//! A file imports another when it names something that is defined there: in a `use`, or with a path
//! such as `crate::a::b`, `super::b` or `a::b`. A name that comes through a re-export counts for
//! the file that defines it. Three things do not count: what a file names of its own children,
//! because those are parts of it; a path that only names a module; and what is compiled for tests
//! only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::house::{self, House};
use crate::source::{Crate, Usage};

mod graph;

pub(crate) fn run(house: &House) -> Result<()> {
    let circles = all(house)?;
    for circle in &circles {
        house::say(&circle.describe(&house.path("")));
    }
    match circles.len() {
        0 => Ok(()),
        number => bail!("{number} circles of imports"),
    }
}

/// The circles of all crates of the house.
pub(crate) fn all(house: &House) -> Result<Vec<Circle>> {
    let mut found = vec![];
    for root in roots(house)? {
        let text_of = |file: &Path| std::fs::read_to_string(file).ok();
        found.extend(circles(&Crate::read(&root, &text_of)));
    }
    Ok(found)
}

/// The first files of the libraries and programs of all crates.
fn roots(house: &House) -> Result<Vec<PathBuf>> {
    let mut roots = vec![];
    for entry in std::fs::read_dir(house.path("crates"))? {
        roots.extend(roots_in(&entry?.path())?);
    }
    roots.sort();
    Ok(roots)
}

/// The first file of the library and of each program in the crate of this folder.
pub(crate) fn roots_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let source = folder.join("src");
    let mut roots = Vec::from(["lib.rs", "main.rs"].map(|name| source.join(name)));
    for program in std::fs::read_dir(source.join("bin")).into_iter().flatten() {
        roots.push(program?.path());
    }
    roots.retain(|root| root.is_file());
    Ok(roots)
}

/// Files that import each other.
#[derive(Debug)]
pub(crate) struct Circle {
    /// Each import that belongs to it: who, whom, and where.
    imports: Vec<(PathBuf, PathBuf, Usage)>,
}

impl Circle {
    fn describe(&self, root: &Path) -> String {
        let short = |file: &Path| {
            let inside = file.strip_prefix(root);
            inside.map_or(file, |inside| inside).display().to_string()
        };
        let files: BTreeSet<_> = self.imports.iter().map(|(from, ..)| short(from)).collect();
        let mut lines = vec![files.into_iter().collect::<Vec<_>>().join(" <-> ")];
        for (from, to, usage) in &self.imports {
            let (from, to, path) = (short(from), short(to), usage.path.join("::"));
            lines.push(format!("    {from}:{} names {path} of {to}", usage.line));
        }
        lines.join("\n")
    }
}

type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, Usage>>;

fn circles(of: &Crate) -> Vec<Circle> {
    let imports = imports(of);
    let arrows = |file: &PathBuf| imports.get(file).into_iter().flat_map(|to| to.keys());
    let groups = graph::circles(imports.keys(), arrows);
    let circles = groups.into_iter().map(|group| {
        let inside = imports.iter().filter(|(from, _)| group.contains(*from));
        let inside = inside.flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        let inside = inside.filter(|(_, (to, _))| group.contains(*to));
        let inside = inside.map(|(from, (to, usage))| (from.clone(), to.clone(), usage.clone()));
        Circle {
            imports: inside.collect(),
        }
    });
    circles.collect()
}

/// For each file the files it imports from, with the first place where it does.
fn imports(of: &Crate) -> Imports {
    let mut imports = Imports::new();
    for (number, module) in of.modules.iter().enumerate() {
        let from = imports.entry(module.file.clone()).or_default();
        for usage in &module.usages {
            let Some(target) = of.definition(number, &usage.path) else {
                continue;
            };
            let is_a_part = of.is_below(target, number);
            let file = of.modules.get(target).map(|target| &target.file);
            let other = file.filter(|file| !is_a_part && **file != module.file);
            if let Some(other) = other {
                from.entry(other.clone()).or_insert_with(|| usage.clone());
            }
        }
    }
    imports
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a made-up crate, each as the names of its files.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let text_of = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let found = circles(&Crate::read(Path::new("lib.rs"), &text_of));
        let names = |circle: &Circle| {
            let names = circle
                .imports
                .iter()
                .map(|(from, ..)| from.display().to_string());
            names.collect::<BTreeSet<_>>().into_iter().collect()
        };
        found.iter().map(names).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_found() {
        let circle = circles_of(&[
            ("lib.rs", "mod album; mod sidecar; mod other;"),
            ("album.rs", "use crate::sidecar::PLACE; pub struct Album;"),
            (
                "sidecar.rs",
                "use super::album::{self, Album}; pub const PLACE: u8 = 0;",
            ),
            ("other.rs", "use crate::album::Album;"),
        ]);
        assert_eq!(circle, [["album.rs", "sidecar.rs"]]);
    }

    #[test]
    fn a_round_of_three_is_found_however_the_paths_are_written() {
        let circle = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "fn f() { crate::b::f() }"),
            ("b.rs", "use super::c; fn f() { let x = c::X; }"),
            (
                "c.rs",
                "mod inner { use super::super::a::f as g; } fn f() -> crate::d::D {}",
            ),
            ("d.rs", "pub struct D;"),
        ]);
        assert_eq!(circle, [["a.rs", "b.rs", "c.rs"]]);
    }

    #[test]
    fn children_are_parts_of_their_parent() {
        let none = circles_of(&[
            ("lib.rs", "mod test;"),
            (
                "test.rs",
                "mod step; use step::Step; pub struct Options; fn f(s: Step) { step::g() }",
            ),
            (
                "test/step.rs",
                "use super::Options; pub struct Step(Options);",
            ),
        ]);
        assert!(none.is_empty(), "{none:?}");
        // Two children of one parent are not parts of each other, and one reaches back through it.
        let circle = circles_of(&[
            ("lib.rs", "mod test; pub use test::Step;"),
            (
                "test.rs",
                "mod step; mod card; pub use step::Step; pub struct Options;",
            ),
            (
                "test/step.rs",
                "use super::card::Card; pub struct Step(Card);",
            ),
            ("test/card.rs", "use crate::Step; pub struct Card;"),
        ]);
        assert_eq!(circle, [["test/card.rs", "test/step.rs"]]);
    }

    #[test]
    fn a_name_counts_for_the_file_that_defines_it() {
        // `b` takes `A` from its parent, which only re-exports it.
        let none = circles_of(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", "use crate::A; pub struct B(A);"),
        ]);
        assert!(none.is_empty(), "{none:?}");
        let circle = circles_of(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A(B);"),
            ("b.rs", "use crate::A; pub struct B(A);"),
        ]);
        assert_eq!(circle, [["a.rs", "b.rs"]]);
    }

    #[test]
    fn tests_comments_and_texts_make_no_circle() {
        let none = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "// use crate::b::B;\n/* crate::b::B */ pub struct A; const X: &str = \"crate::b::B\";",
            ),
            (
                "b.rs",
                "use crate::a::A; pub struct B; #[cfg(test)] mod tests { use super::*; }",
            ),
            ("a/tests.rs", "use crate::b::B;"),
        ]);
        assert!(none.is_empty(), "{none:?}");
        let none = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "#[cfg(test)] mod tests; #[cfg(test)] fn f() -> crate::b::B {} pub struct A;",
            ),
            ("a/tests.rs", "use crate::b::B; use super::*;"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn re_exports_that_lead_in_a_round_come_to_an_end() {
        let none = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub use crate::b::X;"),
            ("b.rs", "pub use crate::a::X; pub use X::Y;"),
        ]);
        assert!(none.is_empty(), "{none:?}");
    }
}
