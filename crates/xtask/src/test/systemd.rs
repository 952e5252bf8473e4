//! systemd's own judge of unit files, in a version that knows what ours use: this machine's, or
//! that of Debian trixie in a folder of its own, fetched once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::Tree;
use crate::house::{self, House};
use crate::tools;

/// The units use settings of this version; an older one would call them unknown.
const WANTED: u32 = 257;
/// What is used where this machine's own is older: the judge needs its libraries and systemd's own
/// units, the units a `/bin/sh`, and the steps of the Nix check a shell.
const TREE: Tree = Tree {
    name: "systemd",
    release: "trixie",
    packages: "base-files,bash,coreutils,dash,grep,sed,systemd,util-linux",
};

/// A `systemd-analyze` that is new enough.
pub(super) struct Analyze {
    program: PathBuf,
    /// The tree it runs in, if it is not this machine's.
    tree: Option<PathBuf>,
}

impl Analyze {
    /// This machine's, or one that is fetched; or why there can be none here.
    pub(super) fn find(house: &House) -> Result<Self, &'static str> {
        let own = tools::find("systemd-analyze");
        if let Some(program) = own.filter(|own| is_new_enough(house, own)) {
            return Ok(Self {
                program,
                tree: None,
            });
        }
        TREE.get(house).map(|tree| Self {
            program: "/usr/bin/systemd-analyze".into(),
            tree: Some(tree),
        })
    }

    /// Where files must lie for it to see them.
    pub(super) fn place(&self, house: &House) -> PathBuf {
        match &self.tree {
            // Another clone may be at it too.
            Some(tree) => tree.join(format!("units-{}", std::process::id())),
            None => house.target().join("units"),
        }
    }

    /// What it calls a file there.
    pub(super) fn name_of(&self, path: &Path) -> PathBuf {
        match self
            .tree
            .as_ref()
            .and_then(|tree| path.strip_prefix(tree).ok())
        {
            Some(inside) => Path::new("/").join(inside),
            None => path.to_owned(),
        }
    }

    /// A call of it.
    pub(super) fn command(&self, house: &House) -> Command {
        self.call(house, &self.program)
    }

    /// A shell script's interpreter that finds it.
    pub(super) fn shell(&self, house: &House) -> Command {
        self.call(house, Path::new("/bin/bash"))
    }

    fn call(&self, house: &House, program: &Path) -> Command {
        let Some(tree) = &self.tree else {
            return house.program(program);
        };
        let mut chroot = house.program("/usr/sbin/chroot");
        chroot.arg(tree).arg(program);
        chroot
    }
}

fn is_new_enough(house: &House, analyze: &Path) -> bool {
    let said = house::output(house.program(analyze).arg("--version"));
    let version = said
        .as_deref()
        .ok()
        .and_then(|said| said.split_whitespace().nth(1));
    version
        .and_then(|version| version.parse::<u32>().ok())
        .is_some_and(|version| version >= WANTED)
}
