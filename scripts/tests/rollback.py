"""A server under QEMU, with UEFI and systemd-boot, that is given a system with which its validator does not work.

    sudo python3 scripts/tests/rollback.py PROGRAMS [FOLDER]

PROGRAMS has birthmark-node, built anyhow; FOLDER keeps the Debian system, the disk and the console. The machine upgrades
itself, comes up with the new system, finds by nixos-modules/healthy.sh and `birthmark-node doctor --boot` that it does not do
its work, starts itself again until systemd-boot gives the new system up, and goes on with the one before, where it left off.

Says 77 where QEMU, OVMF, mtools, mkfs.vfat, sfdisk or mmdebstrap is missing. Needs no KVM; emulated, it takes some minutes.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = (pathlib.Path(__file__).parent / "../..").resolve()
PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
KEPT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="birthmark-rollback-")).resolve()
FIRMWARE = [pathlib.Path(place) for place in ("/usr/share/OVMF", KEPT / "ovmf/usr/share/OVMF")]
PATIENCE = 3600
TRIES = 2
MIB = 1 << 20

missing = [name for name in ("qemu-system-x86_64", "mcopy", "mkfs.vfat", "sfdisk", "mmdebstrap", "mkfs.ext4") if not shutil.which(name)]
firmware = next((place for place in FIRMWARE if (place / "OVMF_CODE_4M.fd").exists()), None)
if missing or not firmware:
    print(f"not installed: {' '.join(missing) or 'ovmf'}")
    sys.exit(77)


def run(*command, **more):
    subprocess.run([str(word) for word in command], check=True, **more)


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def base():
    """Debian with a kernel, systemd-boot and curl, made once."""
    tree = KEPT / "tree"
    if not (tree / "usr/lib/systemd/boot/efi/systemd-bootx64.efi").exists():
        run(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            '--aptopt=Apt::Install-Recommends "false"',
            "--include=ca-certificates,systemd-sysv,udev,kmod,linux-image-amd64,initramfs-tools,systemd-boot,systemd-boot-efi,curl",
            "--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d"
            " && printf 'virtio_pci\\nvirtio_blk\\next4\\nvfat\\nnls_cp437\\nnls_ascii\\nefivarfs\\n' > $1/etc/initramfs-tools/modules"
            " && echo MODULES=list > $1/etc/initramfs-tools/conf.d/birthmark",
            "trixie",
            tree,
        )
    return tree


# What the machine does by itself. On the first system it upgrades once; what it says goes to the console.
STORY = r"""
set -eu
say() { echo "STORY $*" > /dev/ttyS0; sync; }
entries() { ls /boot/loader/entries | tr '\n' ' '; }
height() { curl --silent --fail http://127.0.0.1:8545/metrics | sed -n 's/^birthmark_node_block_height \([0-9]*\)$/\1/p'; }
system=$(sed 's/.*birthmark.system=\([0-9]\).*/\1/' /proc/cmdline)
say "system $system runs, entries: $(entries)"
if [ "$system" = 2 ]; then exit 0; fi
until curl --silent --fail --output /dev/null http://127.0.0.1:8545/health; do sleep 1; done
if [ ! -e /var/story/signed ]; then
    mkdir -p /var/lib/birthmark-healthy
    birthmark-healthy /var/lib/birthmark-healthy 0 node http://127.0.0.1:8545
    until [ "$(height)" -ge 3 ]; do sleep 1; done
    systemctl start boot-doctor.service
    mkdir -p /var/story
    height > /var/story/signed
    say "height $(cat /var/story/signed), upgrading"
    cp /usr/share/birthmark/2.conf /boot/loader/entries/birthmark-2+TRIES.conf
    sync
    systemctl reboot
else
    signed=$(cat /var/story/signed)
    until [ "$(height)" -gt "$signed" ]; do sleep 1; done
    say "back at height $(height) after $signed"
    systemctl poweroff
fi
"""

NODE = """
[Unit]
Description=Birthmark validator node
After=network.target
[Service]
Type=notify
ExecStart=/usr/bin/birthmark-node --config /etc/birthmark/node.toml
StateDirectory=birthmark-node birthmark-guard
ImportCredential=birthmark-node.vote-key:vote-key
ImportCredential=birthmark-node.checkpoint-key:checkpoint-key
ImportCredential=birthmark-node.lookup-key:lookup-key
# The fault: with the second system the validator does not start.
ExecStartPre=/bin/sh -c '! grep -q birthmark.system=2 /proc/cmdline'
Restart=on-failure
RestartSec=2
TimeoutStartSec=600
[Install]
WantedBy=multi-user.target
"""

# As nixos-modules/health.nix has them, but for how long they wait.
CHECK = """
[Unit]
After=birthmark-node.service
Before=boot-complete.target
FailureAction=reboot
[Service]
Type=oneshot
RemainAfterExit=yes
{}
[Install]
RequiredBy=boot-complete.target
"""
BOOT_CHECK = CHECK.format(
    "StateDirectory=birthmark-healthy\n"
    "ExecStart=/usr/local/bin/birthmark-healthy /var/lib/birthmark-healthy 30 node http://127.0.0.1:8545"
)
BOOT_DOCTOR = CHECK.format(
    "ExecCondition=+/usr/bin/test -e /var/lib/birthmark-healthy/node\n"
    "ExecStart=/usr/bin/birthmark-node --config /etc/birthmark/node.toml doctor --boot --patience 30 --at http://127.0.0.1:8545\n"
    "ImportCredential=birthmark-node.vote-key:vote-key\n"
    "ImportCredential=birthmark-node.checkpoint-key:checkpoint-key\n"
    "ImportCredential=birthmark-node.lookup-key:lookup-key"
)


def entry(system):
    # Without guards against other tenants of the processor, which guard nothing in an emulated one.
    return (
        f"title System {system}\nversion {system}\nsort-key birthmark\nlinux /vmlinuz\ninitrd /initrd.img\n"
        f"options root=/dev/vda2 rw console=ttyS0 quiet mitigations=off no_timer_check nowatchdog panic=-1"
        f" systemd.show_status=false systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900"
        f" birthmark.system={system}\n"
    )


def furnish(tree):
    """The machine's own files, on top of Debian's."""
    shutil.copy(PROGRAMS / "birthmark-node", tree / "usr/bin/birthmark-node")
    healthy = (ROOT / "nixos-modules/healthy.sh").read_text()
    write(tree / "usr/local/bin/birthmark-healthy", "#!/bin/bash\nset -euo pipefail\n" + healthy, 0o755)
    write(tree / "usr/local/bin/story", "#!/bin/sh" + STORY.replace("TRIES", str(TRIES)), 0o755)
    units = tree / "etc/systemd/system"
    write(units / "birthmark-node.service", NODE)
    write(units / "boot-check.service", BOOT_CHECK)
    write(units / "boot-doctor.service", BOOT_DOCTOR)
    write(
        units / "story.service",
        "[Unit]\nAfter=multi-user.target\n[Service]\nType=exec\nExecStart=/usr/local/bin/story\nStandardOutput=journal+console\n",
    )
    write(tree / "usr/share/birthmark/2.conf", entry(2))
    for target, unit in (
        ("multi-user.target.wants", "birthmark-node"),
        ("multi-user.target.wants", "story"),
        ("boot-complete.target.requires", "boot-check"),
        ("boot-complete.target.requires", "boot-doctor"),
    ):
        link = units / target / f"{unit}.service"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{unit}.service")
    write(tree / "etc/fstab", "/dev/vda2 / ext4 rw 0 0\n/dev/vda1 /boot vfat umask=0077 0 0\n/dev/vda3 /var/lib/birthmark-guard ext4 rw 0 0\n")
    keys = KEPT / "keys"
    shutil.rmtree(keys, ignore_errors=True)
    node = PROGRAMS / "birthmark-node"
    validator = subprocess.check_output([node, "keys", keys, "--name", "validator.example"], text=True)
    write(KEPT / "validator.toml", validator)
    genesis = tree / "etc/birthmark/genesis.toml"
    genesis.parent.mkdir(exist_ok=True)
    genesis.unlink(missing_ok=True)
    run(node, "genesis", genesis, "--chain-id", "library.example/registry", "--validator", KEPT / "validator.toml")
    for name in ("vote-key", "checkpoint-key", "lookup-key"):
        write(tree / f"etc/credstore/birthmark-node.{name}", (keys / name).read_text(), 0o600)
    (tree / "etc/credstore").chmod(0o700)
    write(
        tree / "etc/birthmark/node.toml",
        'database = "sqlite:///var/lib/birthmark-node/node.db"\ngenesis = "/etc/birthmark/genesis.toml"\n'
        'signed_heights = "/var/lib/birthmark-guard/node.signed"\n[http]\nlisten = "127.0.0.1:8545"\n'
        "[blocks]\nheartbeat_s = 1\n",
    )


def partition(path, megabytes, make):
    with open(path, "wb") as file:
        file.truncate(megabytes * MIB)
    run(*make, path, stdout=subprocess.DEVNULL)


def disk(tree):
    """The system's disk: one for the boot loader, one for both systems, one for what never goes back."""
    esp, root, guard, whole = (KEPT / name for name in ("esp.img", "root.img", "guard.img", "disk.img"))
    boot = tree / "boot"
    kernel, initrd = (max(boot.glob(pattern)) for pattern in ("vmlinuz-*", "initrd.img-*"))
    partition(esp, 200, ["mkfs.vfat", "-F", "32", "-n", "ESP"])
    write(KEPT / "loader.conf", "timeout 0\n")
    write(KEPT / "1.conf", entry(1))
    for folder in ("EFI", "EFI/BOOT", "loader", "loader/entries"):
        run("mmd", "-i", esp, f"::{folder}")
    for source, target in (
        (tree / "usr/lib/systemd/boot/efi/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"),
        (kernel, "vmlinuz"),
        (initrd, "initrd.img"),
        (KEPT / "loader.conf", "loader/loader.conf"),
        (KEPT / "1.conf", "loader/entries/birthmark-1.conf"),
    ):
        run("mcopy", "-i", esp, source, f"::{target}")
    partition(root, 1500, ["mkfs.ext4", "-q", "-F", "-d", tree])
    partition(guard, 32, ["mkfs.ext4", "-q", "-F"])
    with open(whole, "wb") as file:
        file.truncate(1800 * MIB)
    table = (
        "label: gpt\n"
        "start=1MiB, size=200MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
        "start=201MiB, size=1500MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n"
        "start=1701MiB, size=32MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n"
    )
    run("sfdisk", "--quiet", whole, input=table, text=True, stdout=subprocess.DEVNULL)
    for image, start in ((esp, 1), (root, 201), (guard, 1701)):
        run("dd", f"if={image}", f"of={whole}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none")
        image.unlink()
    return whole


def boot(whole):
    """Runs the machine until it switches itself off; what it said."""
    variables, console = KEPT / "vars.fd", KEPT / "console.log"
    shutil.copy(firmware / "OVMF_VARS_4M.fd", variables)
    console.unlink(missing_ok=True)
    machine = subprocess.Popen(
        [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "768",
            "-display", "none", "-monitor", "none", "-nic", "none", "-serial", f"file:{console}",
            "-drive", f"if=pflash,format=raw,readonly=on,file={firmware / 'OVMF_CODE_4M.fd'}",
            "-drive", f"if=pflash,format=raw,file={variables}",
            "-drive", f"if=virtio,format=raw,cache=writethrough,file={whole}",
        ]
    )  # fmt: skip
    told, until = 0, time.monotonic() + PATIENCE
    try:
        while True:
            said = console.read_text(errors="replace") if console.exists() else ""
            lines = re.findall(r"STORY ([^\r\n]*)", said)
            for line in lines[told:]:
                print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
            told = len(lines)
            if machine.poll() is not None:
                return lines
            assert time.monotonic() < until, f"not over after {PATIENCE} s; see {console}"
            time.sleep(1)
    finally:
        machine.kill()
        machine.wait()


tree = base()
furnish(tree)
lines = boot(disk(tree))
first, upgrading, *between, again, back = lines
assert first.startswith("system 1 runs, entries: birthmark-1.conf"), first
assert "upgrading" in upgrading, upgrading
tried = [f"birthmark-2+{TRIES - n}-{n}.conf" for n in range(1, TRIES + 1)]
assert len(between) == TRIES, lines
for line, name in zip(between, tried):
    assert line.startswith("system 2 runs") and name in line, f"{line}: {name} expected"
assert again.startswith("system 1 runs") and tried[-1] in again, again
now, signed = map(int, re.fullmatch(r"back at height (\d+) after (\d+)", back).groups())
assert now > signed, back
print(f"a new system was tried {TRIES} times and given up; the one before went on from height {signed}")
