//! The scenarios of `vm-tests/` against Debian guests: the packages of `cargo xtask dist` in trixie
//! machines under QEMU, each with an emulated TPM.
//!
//! This makes the disks; `vm-tests/driver` boots them and speaks the verbs of the NixOS test
//! driver, so that one scenario text serves both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::dist::{self, DistOptions};
use crate::house::{self, House};
use crate::tools;

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
    /// Break this on purpose, by its name in vm-tests/faults.json: the scenario must fail where
    /// that file says
    #[arg(long)]
    pub(crate) fault: Option<String>,
    /// On the way, break what faults.json can also mend, and see each noticed
    #[arg(long)]
    pub(crate) prove: bool,
    /// The cargo profile of the programs in the packages
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
    /// The programs that the tests have built anyway, instead of those that ship
    #[arg(long, conflicts_with = "profile")]
    pub(crate) as_tested: bool,
    /// A folder with the packages of an earlier version that `upgrade` begins with, instead of ours
    /// under a lower number. Without --prove: the way back from a newer database is a backup
    #[arg(long, value_name = "FOLDER", conflicts_with = "prove")]
    pub(crate) from: Option<PathBuf>,
    /// Keep disks and logs of scenarios that passed
    #[arg(long)]
    pub(crate) keep: bool,
    /// How QEMU runs the guests; `kvm` where the machine has it
    #[arg(long, default_value = "tcg,thread=multi,tb-size=256")]
    pub(crate) accelerator: String,
    /// Processors of each guest; more than one only helps where nobody else computes
    #[arg(long, default_value_t = 1)]
    pub(crate) processors: u32,
}

impl VmOptions {
    /// What the test command runs.
    pub(crate) fn short() -> Self {
        Self {
            scenarios: Vec::new(),
            all: false,
            fault: None,
            prove: true,
            profile: "dev".to_owned(),
            as_tested: true,
            from: None,
            keep: false,
            accelerator: "tcg,thread=multi,tb-size=256".to_owned(),
            processors: 1,
        }
    }
}

/// Why there can be no guests here, in words; `None` where there can.
pub(crate) fn is_impossible() -> Option<&'static str> {
    const PROGRAMS: [&str; 6] = [
        "qemu-system-x86_64",
        "swtpm_setup",
        "swtpm",
        "mkfs.ext4",
        "dpkg-deb",
        "python3",
    ];
    match () {
        () if !cfg!(target_arch = "x86_64") => Some("the guests are x86_64, this machine is not"),
        () if PROGRAMS.iter().any(|name| tools::find(name).is_none()) => {
            Some("QEMU, swtpm, e2fsprogs, dpkg or Python is not installed")
        }
        () => guest::is_impossible(),
    }
}

/// Makes the guests' base system, unless it is there.
pub(crate) fn prepare() -> anyhow::Result<()> {
    guest::base().map(drop)
}

/// Builds packages and guests as far as needed, and runs the scenarios.
pub(crate) fn run(house: &House, options: &VmOptions) -> anyhow::Result<()> {
    std::env::set_current_dir(house.path("."))?;
    let scenarios = scenarios(options)?;
    let work = house.target().join("vm");
    std::fs::create_dir_all(&work)?;
    let base = guest::base()?;
    let packages = packages(house, options, &work, &scenarios)?;
    let mut driver = house.program("python3");
    driver.arg("vm-tests/driver/run.py");
    for (name, path) in [
        ("--base", &base.disk),
        ("--kernel", &base.kernel),
        ("--initrd", &base.initrd),
        ("--packages", &packages),
        ("--work", &work.join("runs")),
    ] {
        driver.arg(name).arg(path);
    }
    driver.args(["--accelerator", &options.accelerator]);
    driver.args(["--processors", &options.processors.to_string()]);
    driver.args(options.keep.then_some("--keep"));
    driver.args(options.prove.then_some("--prove"));
    driver.args(options.fault.iter().flat_map(|name| ["--fault", name]));
    driver.args(scenarios).env("PYTHONDONTWRITEBYTECODE", "1");
    house::run(&mut driver)
}

fn scenarios(options: &VmOptions) -> anyhow::Result<Vec<String>> {
    ensure!(
        options.from.is_none() || options.scenarios == ["upgrade"],
        "--from is for the scenario upgrade alone: the others are about what is built here"
    );
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
fn packages(
    house: &House,
    options: &VmOptions,
    work: &Path,
    scenarios: &[String],
) -> anyhow::Result<PathBuf> {
    let folder = work.join("packages");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let build = |version: Option<String>, place: &str, rehearsal: bool| {
        dist::run(
            house,
            &DistOptions {
                profile: options.profile.clone(),
                as_tested: options.as_tested,
                rehearsal,
                target: None,
                out: folder.join(place),
                version,
            },
        )
    };
    // The driver looks for a machine's packages in the same folders.
    let needed = variants(scenarios)?;
    match &options.from {
        Some(earlier) => copy_packages(earlier, &folder.join("rehearsal"))?,
        None if needed.rehearsal => build(None, "rehearsal", true)?,
        None => {}
    }
    // What is upgraded to; without an earlier version these are the same programs under a higher
    // number.
    if scenarios.iter().any(|name| name == "upgrade") {
        build(
            Some(format!("{}+next", env!("CARGO_PKG_VERSION"))),
            "next",
            true,
        )?;
    }
    // Last, so that the programs left in the build's folder are those that ship.
    if needed.shipped {
        build(None, "shipped", false)?;
    }
    let disk = work.join("packages.ext4");
    file_system(&folder, &disk, "1G")?;
    Ok(disk)
}

/// Which packages the machines of some scenarios install.
#[derive(Debug, Default, PartialEq)]
struct Variants {
    shipped: bool,
    rehearsal: bool,
}

fn variants(scenarios: &[String]) -> anyhow::Result<Variants> {
    let read = |path: String| -> anyhow::Result<serde_json::Value> {
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Ok(serde_json::from_str(&text)?)
    };
    let known = read("vm-tests/scenarios.json".to_owned())?;
    let mut needed = Variants::default();
    for scenario in scenarios {
        let machines = known.get(scenario).and_then(|machines| machines.as_array());
        for machine in machines
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str())
        {
            let described = read(format!("vm-tests/machines/{machine}.json"))?;
            match described.get("rehearsal") == Some(&serde_json::Value::Bool(true)) {
                true => needed.rehearsal = true,
                false => needed.shipped = true,
            }
        }
    }
    Ok(needed)
}

fn copy_packages(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut copied = 0;
    let entries = std::fs::read_dir(from);
    for entry in entries.with_context(|| format!("--from: reading {}", from.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".deb") {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            copied += 1;
        }
    }
    ensure!(copied > 0, "--from: no packages in {}", from.display());
    Ok(())
}

/// An ext4 file system with the content of `folder`.
pub(crate) fn file_system(folder: &Path, disk: &Path, size: &str) -> anyhow::Result<()> {
    if disk.exists() {
        std::fs::remove_file(disk)?;
    }
    let mut make = Command::new(tools::find("mkfs.ext4").context("mkfs.ext4 is missing")?);
    make.args(["-q", "-F", "-d"])
        .arg(folder)
        .arg(disk)
        .arg(size);
    house::run(&mut make)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because it changes the process's folder.
    #[test]
    fn only_cameras_with_a_painted_scene_get_a_rehearsal_s_packages() {
        std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
        let needed = |name: &str| variants(&[name.to_owned()]).unwrap();
        let (shipped, rehearsal) = (true, true);
        assert_eq!(
            needed("sensor"),
            Variants {
                shipped,
                rehearsal: false
            }
        );
        assert_eq!(
            needed("trial"),
            Variants {
                shipped: false,
                rehearsal
            }
        );
        assert_eq!(needed("camera-to-receipt"), Variants { shipped, rehearsal });
        for file in std::fs::read_dir("vm-tests/machines").unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let described: serde_json::Value = serde_json::from_str(&text).unwrap();
            let painted = described["daemons"]["capture"]["source"]["kind"] == "simulated";
            assert_eq!(described["rehearsal"] == true, painted, "{text}");
        }
    }
}
