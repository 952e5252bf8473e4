//! Debian packages: the same unit files as on NixOS, for people who keep Debian or Raspberry Pi OS.
//!
//! `cargo xtask dist` builds the programs, lays out one folder per package and lets `dpkg-deb` pack
//! it. Nothing here needs root, and nothing is downloaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::house::{self, House};

mod package;
mod scripts;
mod stage;

pub(crate) use package::{ALL, Package};

/// `cargo xtask dist`
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct DistOptions {
    /// The cargo profile of the programs
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
    /// The programs that the tests have built anyway: quick to make, unoptimised, and without V4L2.
    /// Not for shipping
    #[arg(long, conflicts_with_all = ["profile", "target"])]
    pub(crate) as_tested: bool,
    /// A camera that photographs painted scenes and the files of a folder, for rehearsals. Not for
    /// shipping
    #[arg(long)]
    pub(crate) rehearsal: bool,
    /// The target to build for, for example aarch64-unknown-linux-gnu; otherwise this machine's own
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The folder the packages are written to
    #[arg(long, default_value = "target/debian")]
    pub(crate) out: PathBuf,
    /// A version other than the workspace's, for example to try an upgrade
    #[arg(long)]
    pub(crate) version: Option<String>,
}

/// Builds the programs and every package.
pub(crate) fn run(house: &House, options: &DistOptions) -> anyhow::Result<()> {
    // Unit files, examples and scripts are named from the top of the workspace.
    std::env::set_current_dir(house.path("."))?;
    match options.as_tested {
        true => build_as_tested(house, options)?,
        false => build(house, options)?,
    }
    let release = Release {
        version: options
            .version
            .clone()
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        rehearsal: options.rehearsal,
        architecture: architecture(options.target.as_deref())?,
        glibc: glibc()?,
        strip: strip(options.target.as_deref()),
    };
    std::fs::create_dir_all(&options.out)?;
    let programs = programs(house, options);
    ALL.iter()
        .try_for_each(|package| pack(package, &release, &programs, &options.out))
}

/// What is the same for all packages of one run.
pub(crate) struct Release {
    pub(crate) version: String,
    /// Whether the camera's programs can photograph what is no scene before a sensor.
    pub(crate) rehearsal: bool,
    pub(crate) architecture: &'static str,
    /// The C library the programs were built against; an older one cannot run them.
    pub(crate) glibc: String,
    /// The program that takes debugging symbols out of those of this architecture.
    pub(crate) strip: String,
}

impl Release {
    /// A rehearsal's camera has a lower version than the one that ships, which replaces it like an
    /// older one.
    pub(crate) fn version_of(&self, package: &Package) -> String {
        match self.rehearsal && package.programs.contains(&"birthmark-capture") {
            true => format!("{}~rehearsal", self.version),
            false => self.version.clone(),
        }
    }
}

/// The demonstration is not among them: its signer can have keys in a file and its camera a painted
/// scene, and in a build with the others cargo would give that to the camera's own programs as
/// well.
fn build(house: &House, options: &DistOptions) -> anyhow::Result<()> {
    let daemons =
        ["signer", "gps", "capture", "sma", "node"].map(|daemon| format!("birthmark-{daemon}"));
    // The sensor through the kernel's own interface; tests go without, as they have no such device.
    let mut sources = vec!["--features", "birthmark-capture/v4l2"];
    if options.rehearsal {
        sources.extend(REHEARSAL);
    }
    for (crates, features) in [
        (daemons.as_slice(), sources.as_slice()),
        (&["birthmark-cli".to_owned()], &[]),
    ] {
        let mut cargo = house.cargo();
        cargo.args(["build", "--bins", "--profile", &options.profile]);
        cargo.args(
            options
                .target
                .iter()
                .flat_map(|target| ["--target", target]),
        );
        cargo.args(crates.iter().flat_map(|name| ["--package", name]));
        cargo.args(features);
        house::run(&mut cargo)?;
    }
    Ok(())
}

/// What turns the camera's programs into those of a rehearsal.
const REHEARSAL: [&str; 2] = [
    "--features",
    "birthmark-capture/rehearsal,birthmark-signer/rehearsal",
];

/// Hardly anything is compiled that the tests have not compiled: everything at once, then the
/// camera's programs anew. The signer must not have the demonstration's keys in a file, nor the
/// camera its painted scene, unless that was asked for.
fn build_as_tested(house: &House, options: &DistOptions) -> anyhow::Result<()> {
    let mut camera = vec!["--package", "birthmark-signer"];
    camera.extend(["--package", "birthmark-capture"]);
    if options.rehearsal {
        camera.extend(REHEARSAL);
    }
    for chosen in [&["--workspace"], camera.as_slice()] {
        house::run(
            house
                .cargo()
                .args(["build", "--quiet", "--bins"])
                .args(chosen),
        )?;
    }
    Ok(())
}

/// The folder cargo puts this profile's programs into.
fn programs(house: &House, options: &DistOptions) -> PathBuf {
    let folder = match options.profile.as_str() {
        _ if options.as_tested => "debug",
        "dev" => "debug",
        other => other,
    };
    match &options.target {
        Some(triple) => house.target().join(triple).join(folder),
        None => house.target().join(folder),
    }
}

fn architecture(target: Option<&str>) -> anyhow::Result<&'static str> {
    let machine = target
        .and_then(|triple| triple.split('-').next())
        .unwrap_or(std::env::consts::ARCH);
    match machine {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no packages are made for {other}: only for x86_64 and aarch64"),
    }
}

/// This machine's own knows no other architecture; the one of Debian's cross compiler is called
/// after its own.
fn strip(target: Option<&str>) -> String {
    let machine = target.and_then(|triple| triple.split('-').next());
    match machine {
        Some(other) if other != std::env::consts::ARCH => format!("{other}-linux-gnu-strip"),
        _ => "strip".to_owned(),
    }
}

fn glibc() -> anyhow::Result<String> {
    let answer = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .context("cannot run getconf")?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = text
        .split_whitespace()
        .nth(1)
        .context("getconf named no version of the C library")?;
    Ok(version.to_owned())
}

fn pack(package: &Package, release: &Release, programs: &Path, out: &Path) -> anyhow::Result<()> {
    let folder = out.join(package.name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    stage::lay_out(package, release, programs, &folder)
        .with_context(|| format!("laying out {}", package.name))?;
    let version = release.version_of(package);
    let file = out.join(format!(
        "{}_{version}_{}.deb",
        package.name, release.architecture
    ));
    let mut pack = Command::new("dpkg-deb");
    // Everything belongs to root, whoever packs it; quick compression, as guests and people unpack
    // more often than we pack.
    pack.args(["--root-owner-group", "-Zzstd", "-z3", "--build"])
        .arg(&folder)
        .arg(&file);
    pack.stdout(std::process::Stdio::null());
    house::run(&mut pack)?;
    std::fs::remove_dir_all(&folder)?;
    house::say(&file.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn symbols_of_another_machine_are_taken_out_by_its_own_tools() {
        let own = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        assert_eq!(super::strip(Some(&own)), "strip");
        assert_eq!(super::strip(None), "strip");
        assert_eq!(
            super::strip(Some("riscv64-unknown-linux-gnu")),
            "riscv64-linux-gnu-strip"
        );
    }

    #[test]
    fn a_rehearsal_s_camera_is_told_from_one_that_ships_by_its_version() {
        let mut release = super::Release {
            version: "0.1.0".to_owned(),
            rehearsal: false,
            architecture: "amd64",
            glibc: "2.41".to_owned(),
            strip: "strip".to_owned(),
        };
        let versions = |release: &super::Release| {
            let named = super::ALL.iter().map(|package| release.version_of(package));
            named.collect::<BTreeSet<_>>()
        };
        assert_eq!(versions(&release), BTreeSet::from(["0.1.0".to_owned()]));
        release.rehearsal = true;
        let both = BTreeSet::from(["0.1.0".to_owned(), "0.1.0~rehearsal".to_owned()]);
        assert_eq!(versions(&release), both);
    }

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    /// Identifiers after `marker` in every Rust file under `folder`, examples in documentation and
    /// tests left out.
    fn identifiers(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                identifiers(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let constants = text
                    .lines()
                    .filter(|line| line.starts_with("pub const ") || line.starts_with("const "));
                let ids = constants.filter_map(|line| line.split_once("= MessageId::new(\""));
                found.extend(ids.map(|(_, id)| id[..32].to_owned()));
            }
        }
    }

    #[test]
    fn the_catalog_explains_every_message_identifier_and_no_other() {
        let mut used = BTreeSet::new();
        for entry in std::fs::read_dir(Path::new(ROOT).join("crates")).unwrap() {
            let source = entry.unwrap().path().join("src");
            if source.exists() && !source.starts_with(Path::new(ROOT).join("crates/xtask")) {
                identifiers(&source, &mut used);
            }
        }
        let catalog =
            std::fs::read_to_string(Path::new(ROOT).join("systemd/birthmark.catalog")).unwrap();
        let explained = catalog
            .lines()
            .filter_map(|line| line.strip_prefix("-- "))
            .map(str::to_owned)
            .collect();
        assert_eq!(used, explained);
        assert!(!used.is_empty());
    }
}
