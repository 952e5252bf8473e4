//! Debian packages unpacked into a folder of our own: a newer program or library than this machine
//! has, without installing anything. Made once per machine and kept for every clone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::house::{self, House};
use crate::tools;

/// Packages of one Debian release, with everything they depend on.
pub(crate) struct Tree {
    /// The folder's name among what is kept.
    pub(crate) name: &'static str,
    /// The release's code name.
    pub(crate) release: &'static str,
    /// The packages, separated by commas.
    pub(crate) packages: &'static str,
}

impl Tree {
    /// Where the packages are, unpacked now if they are not there yet; or why they cannot be had
    /// here, in words.
    pub(crate) fn get(&self, house: &House) -> Result<PathBuf, &'static str> {
        if let Ok(Some(tree)) = self.kept() {
            return Ok(tree);
        }
        if !rustix::process::geteuid().is_root() {
            return Err("only root can unpack Debian's packages, once");
        }
        if tools::find("mmdebstrap").is_none() {
            return Err("mmdebstrap is not installed");
        }
        self.unpack(house).map_err(|error| {
            house::say(&format!("{error:#}"));
            "Debian's packages cannot be fetched here, as said above"
        })
    }

    /// Whether the packages were unpacked before.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept().is_ok_and(|tree| tree.is_some())
    }

    /// The tree, if this list of packages was unpacked before.
    fn kept(&self) -> Result<Option<PathBuf>> {
        let folder = tools::kept(self.name)?;
        let made_of = fs::read_to_string(folder.join("made-of"));
        let is_whole = made_of.is_ok_and(|packages| packages == self.packages);
        Ok(is_whole.then(|| folder.join(self.release)))
    }

    fn unpack(&self, house: &House) -> Result<PathBuf> {
        let folder = tools::kept(self.name)?;
        fs::create_dir_all(&folder)?;
        // Two clones may want it at the same time.
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        if let Some(tree) = self.kept()? {
            return Ok(tree);
        }
        let tree = folder.join(self.release);
        remove(&tree)?;
        house::say(&format!(
            "unpacking {} of Debian {}; this takes a minute or two, once",
            self.packages, self.release
        ));
        let mut fetch = house.program("mmdebstrap");
        fetch.args(["--quiet", "--variant=extract", "--include", self.packages]);
        // A release in the making is dated for a week only. Its signature is still checked.
        fetch.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
        house::run(fetch.arg(self.release).arg(&tree))?;
        // Last: if we stop before this, the next run starts over.
        fs::write(folder.join("made-of"), self.packages)?;
        Ok(tree)
    }
}

fn remove(tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    Ok(())
}
