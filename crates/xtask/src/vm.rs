//! The scenarios of `vm-tests/` against Debian guests: the packages of `cargo xtask dist` in trixie machines under QEMU, each
//! with an emulated TPM.
//!
//! This makes the disks; `vm-tests/driver` boots them and speaks the verbs of the NixOS test driver, so that one scenario text
//! serves both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::dist::{self, DistOptions};
use crate::house::{self, House};

mod guest;

/// What the short form runs, as part of the house's test command.
const SHORT: &[&str] = &["trial"];

/// `cargo xtask vm`
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct VmOptions {
    /// Scenarios by name; without any, the short form
    pub(crate) scenarios: Vec<String>,
    /// Every scenario
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) all: bool,
    /// The cargo profile of the programs in the packages
    #[arg(long, default_value = "dev")]
    pub(crate) profile: String,
    /// Keep disks and logs of scenarios that passed
    #[arg(long)]
    pub(crate) keep: bool,
    /// How QEMU runs the guests; `kvm` where the machine has it
    #[arg(long, default_value = "tcg,thread=multi")]
    pub(crate) accelerator: String,
    /// Where disks and logs are kept
    #[arg(long, default_value = "target/vm")]
    pub(crate) work: PathBuf,
}

/// Builds packages and guests as far as needed, and runs the scenarios.
pub(crate) fn run(house: &House, options: &VmOptions) -> anyhow::Result<()> {
    std::env::set_current_dir(house.path("."))?;
    let scenarios = scenarios(options)?;
    std::fs::create_dir_all(&options.work)?;
    let base = guest::base(&options.work)?;
    let packages = packages(house, options, &scenarios)?;
    let mut driver = Command::new("python3");
    driver.arg("vm-tests/driver/run.py");
    for (name, path) in [
        ("--base", &base.disk),
        ("--kernel", &base.kernel),
        ("--initrd", &base.initrd),
        ("--packages", &packages),
        ("--work", &options.work.join("runs")),
    ] {
        driver.arg(name).arg(path);
    }
    driver.args(["--accelerator", &options.accelerator]);
    driver.args(options.keep.then_some("--keep"));
    driver.args(scenarios).env("PYTHONDONTWRITEBYTECODE", "1");
    house::run(&mut driver)
}

fn scenarios(options: &VmOptions) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string("vm-tests/scenarios.json")
        .context("run this in the project's root folder")?;
    let known: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    if options.all {
        return Ok(known.keys().cloned().collect());
    }
    if options.scenarios.is_empty() {
        return Ok(SHORT.iter().map(|name| (*name).to_owned()).collect());
    }
    let names = known
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    for name in &options.scenarios {
        ensure!(
            known.contains_key(name),
            "there is no scenario {name:?}; there are {names}"
        );
    }
    Ok(options.scenarios.clone())
}

/// The packages as a file system of their own, which every guest sees as its second disk.
fn packages(house: &House, options: &VmOptions, scenarios: &[String]) -> anyhow::Result<PathBuf> {
    let folder = options.work.join("packages");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let build = |version: Option<String>, place: &str| {
        dist::run(
            house,
            &DistOptions {
                profile: options.profile.clone(),
                target: None,
                out: folder.join(place),
                version,
            },
        )
    };
    build(None, "")?;
    // The same programs under a higher version.
    if scenarios.iter().any(|name| name == "upgrade") {
        build(Some(format!("{}+next", env!("CARGO_PKG_VERSION"))), "next")?;
    }
    let disk = options.work.join("packages.ext4");
    file_system(&folder, &disk, "512M")?;
    Ok(disk)
}

/// An ext4 file system with the content of `folder`.
pub(crate) fn file_system(folder: &Path, disk: &Path, size: &str) -> anyhow::Result<()> {
    if disk.exists() {
        std::fs::remove_file(disk)?;
    }
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-F", "-d"])
        .arg(folder)
        .arg(disk)
        .arg(size);
    house::run(&mut make)
}
