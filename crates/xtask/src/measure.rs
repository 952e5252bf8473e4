//! `cargo xtask measure`: the size and shape of the code, so that a change of it can be compared
//! with what was before. The same numbers come out for any tree that has a folder `crates`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::circles;
use crate::house::{self, House};
use crate::source::{Crate, Text};

mod fallbacks;
mod figures;
mod spread;

use figures::Figures;

/// Longer lines are counted.
const WIDTH: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure the tree in this folder instead
    #[arg(long, value_name = "FOLDER")]
    of: Option<PathBuf>,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let house = match &options.of {
        Some(folder) => &House::at(folder.canonicalize()?),
        None => house,
    };
    let (mut all, mut crates) = (Figures::default(), vec![]);
    for (name, folder) in folders(house)? {
        let figures = measured(&folder)?;
        crates.push(figures.line(&name));
        all.add(figures);
    }
    crates.sort();
    house::say("tests per line of code");
    crates.iter().for_each(|line| house::say(line));
    house::say("");
    all.lines().iter().for_each(|line| house::say(line));
    house::say(&format!(
        "circles of imports: {}",
        circles::all(house)?.len()
    ));
    let (wide, of) = wide_markdown(house)?;
    house::say(&format!(
        "Markdown: {wide} of {of} lines have more than {WIDTH} columns"
    ));
    Ok(())
}

fn folders(house: &House) -> Result<BTreeMap<String, PathBuf>> {
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(house.path("crates"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            folders.insert(name, entry.path());
        }
    }
    Ok(folders)
}

/// What ships is what a library or a program reaches; all other Rust files are tests.
fn measured(folder: &Path) -> Result<Figures> {
    let text_of = |file: &Path| fs::read_to_string(file).ok();
    let mut shipped = vec![];
    for root in circles::roots_in(folder)? {
        let modules = Crate::read(&root, &text_of).modules;
        shipped.extend(modules.into_iter().map(|module| module.file));
    }
    let mut figures = Figures::default();
    for file in files(folder, "rs")? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let cut = Text::of(&text);
        if shipped.contains(&file) {
            figures.take_code(&text, &cut);
        } else {
            figures.take_tests(&cut);
        }
    }
    Ok(figures)
}

/// The files of a folder with this ending, without those that a build or a tool left.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, ending)?);
            }
        } else if path.extension().is_some_and(|kind| kind == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn wide_markdown(house: &House) -> Result<(usize, usize)> {
    let (mut wide, mut all) = (0, 0);
    for file in files(&house.path(""), "md")? {
        let text = fs::read_to_string(&file)?;
        wide += wide_lines(&text);
        all += text.lines().count();
    }
    Ok((wide, all))
}

fn wide_lines(text: &str) -> usize {
    let wide = text.lines().filter(|line| line.chars().count() > WIDTH);
    wide.count()
}
