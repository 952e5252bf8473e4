//! The packages of a release: all of one version, and for each architecture all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::dist;
use crate::house;

/// One package's file, and what it says of itself.
#[derive(Debug)]
pub(crate) struct Package {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its control paragraph, as `Packages` repeats it.
    pub(crate) control: String,
}

impl Package {
    fn read(file: PathBuf) -> anyhow::Result<Self> {
        let control = house::output(Command::new("dpkg-deb").arg("--field").arg(&file));
        let control = control.with_context(|| format!("{} is no package", file.display()))?;
        Ok(Self { file, control })
    }

    pub(crate) fn field(&self, name: &str) -> anyhow::Result<&str> {
        let lines = self.control.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values
            .next()
            .with_context(|| format!("{} has no field {name}", self.file.display()))
    }
}

/// Every package of one release.
#[derive(Debug)]
pub(crate) struct Packages {
    version: String,
    by_architecture: BTreeMap<String, Vec<Package>>,
}

impl Packages {
    /// Those in this folder, if they are a whole release.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("{}: run `cargo xtask dist` first", folder.display()))?;
        let (mut versions, mut by_architecture) = (BTreeSet::new(), BTreeMap::new());
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != "deb") {
                continue;
            }
            let package = Package::read(path)?;
            versions.insert(package.field("Version")?.to_owned());
            let architecture = package.field("Architecture")?.to_owned();
            by_architecture
                .entry(architecture)
                .or_insert_with(Vec::new)
                .push(package);
        }
        let versions: Vec<_> = versions.into_iter().collect();
        if let Some(rehearsal) = versions
            .iter()
            .find(|version| version.contains("~rehearsal"))
        {
            bail!(
                "{}: version {rehearsal} is a rehearsal's camera, which photographs painted scenes: make the packages without --rehearsal",
                folder.display()
            );
        }
        let version = match versions.as_slice() {
            [] => bail!(
                "{}: no packages; run `cargo xtask dist` first",
                folder.display()
            ),
            [version] => version.clone(),
            several => bail!(
                "{}: packages of several versions ({}): remove those that are not of this release",
                folder.display(),
                several.join(", ")
            ),
        };
        let packages = Self {
            version,
            by_architecture,
        };
        packages.are_complete(folder)?;
        Ok(packages)
    }

    fn are_complete(&self, folder: &Path) -> anyhow::Result<()> {
        for (architecture, packages) in &self.by_architecture {
            let names: anyhow::Result<BTreeSet<_>> = packages
                .iter()
                .map(|package| package.field("Package"))
                .collect();
            let names = names?;
            for package in dist::ALL {
                ensure!(
                    names.contains(package.name),
                    "{}: {} is missing for {architecture}; run `cargo xtask dist` for it",
                    folder.display(),
                    package.name
                );
            }
        }
        Ok(())
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn by_architecture(&self) -> impl Iterator<Item = (&str, &[Package])> {
        let all = self.by_architecture.iter();
        all.map(|(architecture, packages)| (architecture.as_str(), packages.as_slice()))
    }
}
