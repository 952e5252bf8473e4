//! The Debian system every guest starts from: a minimal trixie with a kernel, the TPM libraries and
//! a root shell on the first virtual console. Made once and kept until this recipe changes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::file_system;
use crate::{house, tools};

/// Beside the essential packages. No documentation, no recommendations.
const PACKAGES: &str = "systemd-sysv,udev,dbus,kmod,linux-image-amd64,initramfs-tools,iproute2,netcat-openbsd,jq,curl,sqlite3,\
    libtss2-esys-3.0.2-0t64,libtss2-mu-4.0.1-0t64,libtss2-rc0t64,libtss2-tctildr0t64,libtss2-tcti-device0t64,tpm-udev,tpm2-tools,\
    postgresql,libimage-exiftool-perl,v4l-utils";

/// What the initial RAM disk needs to find a virtio disk, and nothing else: it has to be unpacked
/// by an emulated processor.
const MODULES: &str = "virtio_pci\nvirtio_blk\next4\n";

/// The shell the driver talks to.
const SHELL_UNIT: &str = include_str!("guest-shell.service");
const SHELL: &str = include_str!("guest-shell.sh");

/// A bootable system.
pub(super) struct Base {
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

/// The recipe of the base system; made by another one, it is made anew.
fn recipe() -> String {
    [PACKAGES, MODULES, SHELL_UNIT, SHELL]
        .into_iter()
        .chain(PREPARE.iter().copied())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Kept beside the other tools, for every clone on this machine.
fn folder() -> anyhow::Result<PathBuf> {
    tools::kept("vm")
}

fn is_made(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("recipe")).is_ok_and(|made_by| made_by == recipe())
}

/// Why there is no base system here and none can be made; `None` where there is or can be one.
pub(super) fn is_impossible() -> Option<&'static str> {
    if folder().is_ok_and(|folder| is_made(&folder)) {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make the guests' base system: sudo cargo xtask vm, once");
    }
    match tools::find("mmdebstrap") {
        Some(_) => None,
        None => Some("mmdebstrap is not installed"),
    }
}

/// The base system, made now if it is missing or was made by another recipe.
pub(super) fn base() -> anyhow::Result<Base> {
    let folder = folder()?;
    let base = Base {
        disk: folder.join("trixie.ext4"),
        kernel: folder.join("vmlinuz"),
        initrd: folder.join("initrd.img"),
    };
    std::fs::create_dir_all(&folder)?;
    // Two clones may want it at the same time.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    if is_made(&folder) {
        return Ok(base);
    }
    if let Some(reason) = is_impossible() {
        bail!("{reason}");
    }
    let tree = folder.join("trixie");
    bootstrap(&tree)?;
    let boot = tree.join("boot");
    std::fs::copy(newest(&boot, "vmlinuz-")?, &base.kernel)?;
    std::fs::copy(newest(&boot, "initrd.img-")?, &base.initrd)?;
    file_system(&tree, &base.disk, "4G")?;
    std::fs::remove_dir_all(&tree)?;
    // Last: if we stop before this, the next run starts over.
    std::fs::write(folder.join("recipe"), recipe())?;
    Ok(base)
}

fn bootstrap(tree: &Path) -> anyhow::Result<()> {
    if tree.exists() {
        std::fs::remove_dir_all(tree)?;
    }
    house::say("making the Debian base system; this takes a few minutes, once");
    let mut make = Command::new("mmdebstrap");
    make.args([
        "--quiet",
        "--variant=minbase",
        "--aptopt=Apt::Install-Recommends \"false\"",
    ]);
    make.arg(format!("--include={}", PACKAGES.replace(' ', "")));
    for skipped in [
        "/usr/share/doc/*",
        "/usr/share/man/*",
        "/usr/share/locale/*",
    ] {
        make.arg(format!("--dpkgopt=path-exclude={skipped}"));
    }
    make.arg(format!(
        "--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d && printf '{}' > $1/etc/initramfs-tools/modules \
         && echo MODULES=list > $1/etc/initramfs-tools/conf.d/birthmark",
        MODULES.replace('\n', "\\n")
    ));
    for command in PREPARE {
        make.arg(format!("--customize-hook={command}"));
    }
    make.arg("trixie").arg(tree);
    house::run(&mut make)?;
    std::fs::write(
        tree.join("etc/systemd/system/guest-shell.service"),
        SHELL_UNIT,
    )?;
    std::fs::write(tree.join("usr/local/sbin/guest-shell"), SHELL)?;
    Ok(())
}

/// A guest has no keyboard, needs no logins, and must not start a database nobody asked for.
const PREPARE: &[&str] = &[
    "mkdir -p $1/etc/systemd/system/multi-user.target.wants",
    "ln -s ../guest-shell.service $1/etc/systemd/system/multi-user.target.wants/guest-shell.service",
    "ln -sf /dev/null $1/etc/systemd/system/serial-getty@hvc0.service",
    "ln -sf /dev/null $1/etc/systemd/system/serial-getty@ttyS0.service",
    "ln -sf /dev/null $1/etc/systemd/system/getty@tty1.service",
    "chroot $1 systemctl --quiet disable postgresql.service apt-daily.timer apt-daily-upgrade.timer fstrim.timer dpkg-db-backup.timer",
    "echo /dev/vda / ext4 rw 0 0 > $1/etc/fstab",
    "echo guest > $1/etc/hostname",
    "mkdir -p $1/var/log/journal",
];

fn newest(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    match found.pop() {
        Some(path) => Ok(path),
        None => bail!("no {prefix}* in {}", folder.display()),
    }
}
