//! One package as a folder, the way `dpkg-deb` wants it.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::house;

use super::package::Package;
use super::{Release, scripts};

/// Writes everything that is in the package under `folder`.
pub(super) fn lay_out(
    package: &Package,
    release: &Release,
    programs: &Path,
    folder: &Path,
) -> anyhow::Result<()> {
    for program in package.programs {
        let installed = folder.join("usr/bin").join(program);
        copy(&programs.join(program), &installed, 0o755)?;
        // Symbols stay with the build; a card has no room for them.
        house::run(
            Command::new(&release.strip)
                .arg("--strip-debug")
                .arg(&installed),
        )?;
        manual(&programs.join(program), program, folder)?;
    }
    for (file, place) in package.files {
        let place = match place.rsplit('/').next() {
            Some("system") => format!("{place}/{file}"),
            _ => (*place).to_owned(),
        };
        copy(&Path::new("systemd").join(file), &folder.join(place), 0o644)?;
    }
    for daemon in package.daemons {
        example(daemon.name, package.name, programs, folder)?;
    }
    copyright(package, folder)?;
    control(package, release, folder)?;
    checksums(folder)
}

/// What `dpkg --verify` compares installed files with.
fn checksums(folder: &Path) -> anyhow::Result<()> {
    let list = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | LC_ALL=C sort -z \
        | xargs -0 -r md5sum > DEBIAN/md5sums";
    house::run(Command::new("sh").args(["-euc", list]).current_dir(folder))
}

fn copy(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(to.parent().context("a path without a folder")?)?;
    std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The manual page, printed by the program itself. One for another machine cannot run here; its
/// package goes without.
fn manual(path: &Path, program: &str, folder: &Path) -> anyhow::Result<()> {
    let Ok(page) = Command::new(path).arg("man").output() else {
        return Ok(());
    };
    ensure!(
        page.status.success(),
        "`{program} man` ended with {}",
        page.status
    );
    let section = if program == "birthmark" { 1 } else { 8 };
    write(
        &folder.join(format!("usr/share/man/man{section}/{program}.{section}")),
        &page.stdout,
        0o644,
    )
}

/// The commented example that the daemon's own tests parse; where there is none, all settings as
/// they are by default, printed by the program itself.
fn example(daemon: &str, package: &str, programs: &Path, folder: &Path) -> anyhow::Result<()> {
    let place = folder.join(format!("usr/share/doc/{package}/examples/{daemon}.toml"));
    let commented = Path::new("crates")
        .join(daemon)
        .join(format!("{daemon}.example.toml"));
    if commented.exists() {
        return copy(&commented, &place, 0o644);
    }
    let program = programs.join(format!("birthmark-{daemon}"));
    let mut show = Command::new(program);
    show.args(["--config", "/dev/null", "check-config", "--show"]);
    match show.output() {
        Ok(shown) if shown.status.success() => write(&place, &shown.stdout, 0o644),
        _ => Ok(()),
    }
}

fn copyright(package: &Package, folder: &Path) -> anyhow::Result<()> {
    copy(
        Path::new("LICENSE"),
        &folder.join(format!("usr/share/doc/{}/copyright", package.name)),
        0o644,
    )
}

fn control(package: &Package, release: &Release, folder: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    writeln!(text, "Package: {}", package.name)?;
    writeln!(text, "Version: {}", release.version_of(package))?;
    writeln!(text, "Architecture: {}", release.architecture)?;
    writeln!(
        text,
        "Maintainer: The Birthmark Standard <https://github.com/Birthmark-Standard/Birthmark>"
    )?;
    writeln!(
        text,
        "Homepage: https://github.com/Birthmark-Standard/Birthmark"
    )?;
    writeln!(text, "Section: utils\nPriority: optional")?;
    writeln!(text, "Depends: {}", depends(package, release))?;
    if !package.programs.is_empty() {
        // Without any, no HTTP client starts; a guest without a network has one of its own.
        writeln!(text, "Recommends: ca-certificates")?;
    }
    writeln!(text, "Description: Birthmark, {}", package.about)?;
    writeln!(
        text,
        " A camera proves at the moment of capture that a photo came from its sensor; validators keep"
    )?;
    writeln!(
        text,
        " the proof, and anyone can check a photo by its hash."
    )?;
    write(&folder.join("DEBIAN/control"), text.as_bytes(), 0o644)?;
    for (name, script) in scripts::of(package) {
        write(&folder.join("DEBIAN").join(name), script.as_bytes(), 0o755)?;
    }
    Ok(())
}

fn depends(package: &Package, release: &Release) -> String {
    let mut depends = vec![format!("libc6 (>= {})", release.glibc)];
    depends.extend(package.depends.iter().map(|name| (*name).to_owned()));
    if !package.daemons.is_empty() {
        depends.push(format!("birthmark-common (= {})", release.version));
        depends.push("init-system-helpers".to_owned());
    }
    depends.join(", ")
}

fn write(to: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(to.parent().context("a path without a folder")?)?;
    std::fs::write(to, content)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::ALL;

    #[test]
    fn every_file_of_a_package_can_be_verified_once_it_is_installed() {
        let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        std::env::set_current_dir(top).unwrap();
        let folder = std::env::temp_dir().join(format!("birthmark-stage-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let release = Release {
            version: "0.1.0".to_owned(),
            rehearsal: false,
            architecture: "amd64",
            glibc: "2.41".to_owned(),
            strip: "strip".to_owned(),
        };
        let common = ALL.iter().find(|package| package.programs.is_empty());
        lay_out(common.unwrap(), &release, Path::new("."), &folder).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let sums = read("DEBIAN/md5sums");
        let sandbox = "usr/lib/systemd/system/birthmark-.service.d/50-sandbox.conf";
        for file in [sandbox, "usr/share/doc/birthmark-common/copyright"] {
            assert!(
                sums.lines()
                    .any(|line| line.ends_with(&format!("  {file}"))),
                "{sums}"
            );
        }
        assert!(!sums.contains("DEBIAN"), "{sums}");
        assert!(read("DEBIAN/control").contains("\nHomepage: https://"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
