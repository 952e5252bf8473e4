//! The Debian system every guest starts from: a minimal trixie with a kernel, the TPM libraries and a root shell on the first
//! virtual console. Made once and kept until this recipe changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::file_system;
use crate::house;

/// Beside the essential packages. No documentation, no recommendations.
const PACKAGES: &str = "systemd-sysv,udev,dbus,kmod,linux-image-amd64,initramfs-tools,iproute2,netcat-openbsd,jq,curl,sqlite3,\
    libtss2-esys-3.0.2-0t64,libtss2-mu-4.0.1-0t64,libtss2-rc0t64,libtss2-tctildr0t64,libtss2-tcti-device0t64,tpm-udev,tpm2-tools,\
    postgresql,libimage-exiftool-perl";

/// What the initial RAM disk needs to find a virtio disk, and nothing else: it has to be unpacked by an emulated processor.
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

/// The base system, made now if it is missing or was made by another recipe.
pub(super) fn base(work: &Path) -> anyhow::Result<Base> {
    let base = Base {
        disk: work.join("trixie.ext4"),
        kernel: work.join("vmlinuz"),
        initrd: work.join("initrd.img"),
    };
    let recipe = [PACKAGES, MODULES, SHELL_UNIT, SHELL].join("\n");
    let made_by = work.join("trixie.recipe");
    if std::fs::read_to_string(&made_by).is_ok_and(|made_by| made_by == recipe) {
        return Ok(base);
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "the guests' base system has to be made by root: sudo cargo xtask vm"
    );
    let tree = work.join("trixie");
    bootstrap(&tree)?;
    let boot = tree.join("boot");
    std::fs::copy(newest(&boot, "vmlinuz-")?, &base.kernel)?;
    std::fs::copy(newest(&boot, "initrd.img-")?, &base.initrd)?;
    file_system(&tree, &base.disk, "4G")?;
    std::fs::remove_dir_all(&tree)?;
    // Last: if we stop before this, the next run starts over.
    std::fs::write(made_by, recipe)?;
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
