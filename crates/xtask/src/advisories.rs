//! `cargo xtask advisories FOLDER`: a dated extract of the list of known weaknesses, for machines
//! that cannot reach the list.
//!
//! The list is RustSec's, <https://github.com/rustsec/advisory-db>, in the public domain but for
//! what it took over from GitHub's advisories (CC BY 4.0), which the extract marks. An extract
//! knows nothing of what was found after its day, so it is asked only where cargo-deny can have no
//! list, and the summary of the tests names its day.

mod matching;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::house::{self, House};

/// Where the extract lies.
const EXTRACT: &str = "crates/xtask/advisories.txt";
/// What its first line begins with, before the day.
const DATED: &str = "# RustSec advisories as of ";
/// What marks an entry that RustSec took over from GitHub.
const FROM_GITHUB: &str = "CC-BY-4.0";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A clone of https://github.com/rustsec/advisory-db
    folder: PathBuf,
}

/// One known weakness.
#[derive(Debug, Clone, PartialEq)]
struct Advisory {
    id: String,
    package: String,
    /// `vulnerability`, or what else it is: `unmaintained`, `unsound`, `notice`.
    kind: String,
    from_github: bool,
    /// The versions that do not have it: mended, or never affected.
    free: Vec<VersionReq>,
}

/// A package of a lock file that has a weakness.
#[derive(Debug)]
pub(crate) struct Hit {
    lock: String,
    package: String,
    version: Version,
    id: String,
    kind: String,
}

/// An advisory as RustSec writes it: TOML at the head of a page.
#[derive(Deserialize)]
struct Page {
    advisory: About,
    versions: Versions,
}

#[derive(Deserialize)]
struct About {
    id: String,
    package: String,
    informational: Option<String>,
    license: Option<String>,
    withdrawn: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None for our own.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Deny {
    advisories: Option<Ignoring>,
}

#[derive(Deserialize)]
struct Ignoring {
    #[serde(default)]
    ignore: Vec<Ignored>,
}

#[derive(Deserialize)]
struct Ignored {
    id: String,
}

pub(crate) fn run(house: &House, options: &Options) -> Result<()> {
    let folder = &options.folder;
    let git = |arguments: &[&str]| {
        let mut git = house.program("git");
        house::output(git.arg("-C").arg(folder).args(arguments))
    };
    let about = git(&["log", "-1", "--format=%cs %H"])?;
    let (day, commit) = about
        .trim()
        .split_once(' ')
        .context("git log names no commit")?;
    let mut advisories = vec![];
    for file in git(&["ls-files", "-z", "crates"])?.split('\0') {
        if !file.ends_with(".md") {
            continue;
        }
        let page = std::fs::read_to_string(folder.join(file));
        let page = page.with_context(|| format!("cannot read {file}"))?;
        advisories.extend(read_page(&page).with_context(|| file.to_owned())?);
    }
    ensure!(
        !advisories.is_empty(),
        "{} holds no advisories",
        folder.display()
    );
    advisories.sort_by(|one, other| (&one.package, &one.id).cmp(&(&other.package, &other.id)));
    let text = written(day, commit, &advisories);
    std::fs::write(house.path(EXTRACT), text).context(EXTRACT)?;
    house::say(&format!(
        "{} advisories of {day} are in {EXTRACT}",
        advisories.len()
    ));
    Ok(())
}

/// What the extract says about the packages of these lock files, and of which day it is. What
/// deny.toml lets pass is left out.
pub(crate) fn look(house: &House, locks: &[PathBuf]) -> Result<(String, Vec<Hit>)> {
    let text = std::fs::read_to_string(house.path(EXTRACT)).context(EXTRACT)?;
    let (day, advisories) = read_extract(&text).context(EXTRACT)?;
    let ignored = ignored(&house.path("deny.toml"))?;
    let mut hits = vec![];
    for path in locks {
        let named = || path.display().to_string();
        let lock = std::fs::read_to_string(path).with_context(named)?;
        let lock: Lock = toml::from_str(&lock).with_context(named)?;
        let foreign = lock
            .package
            .into_iter()
            .filter(|package| package.source.is_some());
        for package in foreign {
            let version = Version::parse(&package.version).with_context(named)?;
            let known = advisories.iter().filter(|one| {
                one.package == package.name
                    && !ignored.contains(&one.id)
                    && !one
                        .free
                        .iter()
                        .any(|range| matching::is_in(&version, range))
            });
            hits.extend(known.map(|one| Hit {
                lock: named(),
                package: package.name.clone(),
                version: version.clone(),
                id: one.id.clone(),
                kind: one.kind.clone(),
            }));
        }
    }
    Ok((day.to_owned(), hits))
}

impl std::fmt::Display for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            lock,
            package,
            version,
            id,
            kind,
        } = self;
        write!(
            f,
            "{lock}: {package} {version}: {kind}, https://rustsec.org/advisories/{id}"
        )
    }
}

/// Nothing for an advisory that was taken back.
fn read_page(page: &str) -> Result<Option<Advisory>> {
    let head = page.split("```toml").nth(1);
    let head = head.and_then(|rest| rest.split("```").next());
    let page: Page = toml::from_str(head.context("it has no TOML at its head")?)?;
    let about = page.advisory;
    if about.withdrawn.is_some() {
        return Ok(None);
    }
    let (kind, versions) = (about.informational, page.versions);
    Ok(Some(Advisory {
        id: about.id,
        package: about.package,
        kind: kind.unwrap_or_else(|| "vulnerability".to_owned()),
        from_github: about.license.as_deref() == Some(FROM_GITHUB),
        free: ranges(versions.patched.iter().chain(&versions.unaffected))?,
    }))
}

fn ranges(texts: impl Iterator<Item: AsRef<str>>) -> Result<Vec<VersionReq>> {
    let read = |text: &str| VersionReq::parse(text).with_context(|| text.to_owned());
    texts.map(|text| read(text.as_ref())).collect()
}

fn written(day: &str, commit: &str, advisories: &[Advisory]) -> String {
    let mut text = format!(
        "{DATED}{day}\n\
         # commit {commit} of https://github.com/rustsec/advisory-db; made by `cargo xtask advisories`\n\
         # CC0 1.0; entries that end with * are adapted from GitHub's advisories, CC BY 4.0, which their pages link\n\
         # to: https://rustsec.org/advisories/ID. Package, ID, kind, versions that do not have it.\n"
    );
    for one in advisories {
        let ranges: Vec<_> = one.free.iter().map(ToString::to_string).collect();
        let star = if one.from_github { " *" } else { "" };
        let line = format!(
            "{}\t{}\t{}\t{}{star}\n",
            one.package,
            one.id,
            one.kind,
            ranges.join(" | ")
        );
        text.push_str(&line);
    }
    text
}

fn read_extract(text: &str) -> Result<(&str, Vec<Advisory>)> {
    let day = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(DATED));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let advisories = lines.map(|line| read_line(line).with_context(|| line.to_owned()));
    let advisories = advisories.collect::<Result<Vec<_>>>()?;
    ensure!(!advisories.is_empty(), "it holds no advisories");
    Ok((day.context("its first line names no day")?, advisories))
}

fn read_line(line: &str) -> Result<Advisory> {
    let bare = line.strip_suffix(" *");
    let fields: Vec<_> = bare.unwrap_or(line).split('\t').collect();
    let [package, id, kind, ranges] = <[&str; 4]>::try_from(fields)
        .map_err(|fields| anyhow::anyhow!("it has {} fields, not four", fields.len()))?;
    let ranges = ranges.split(" | ").filter(|range| !range.is_empty());
    Ok(Advisory {
        id: id.to_owned(),
        package: package.to_owned(),
        kind: kind.to_owned(),
        from_github: bare.is_some(),
        free: self::ranges(ranges)?,
    })
}

/// The advisories that deny.toml lets pass, each with its reason there.
fn ignored(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).context("deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("deny.toml")?;
    let ignore = deny.advisories.into_iter().flat_map(|part| part.ignore);
    Ok(ignore.map(|one| one.id).collect())
}

#[cfg(test)]
mod tests;
