"""One Debian guest, with the verbs of the NixOS test driver: what a scenario calls means the same in both."""

import base64
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable


# Guards against other tenants of the same processor cost an emulated one a tenth of its time and guard nothing here.
KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 no_timer_check systemd.show_status=false panic=-1"
    " mitigations=off no5lvl"
    # On a busy machine everything takes long; that alone is no failure.
    " nowatchdog systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900"
)


class ScenarioError(Exception):
    """A scenario's expectation was not met."""


@dataclass
class Setup:
    """What every guest of a run shares."""

    base: Path
    kernel: Path
    initrd: Path
    packages: Path
    work: Path
    hub: str
    accelerator: str = "tcg,thread=multi,tb-size=256"
    processors: int = 1
    hosts: dict[str, str] = field(default_factory=dict)


class Guest:
    """A machine. Its disk outlives `crash`, so a scenario can cut the power and look at what is left."""

    def __init__(self, name: str, role: dict, number: int, setup: Setup) -> None:
        self.name = name
        self.role = role
        self.number = number
        self.setup = setup
        self.folder = setup.work / name
        self.folder.mkdir(parents=True)
        self.process: subprocess.Popen | None = None
        self.chip: subprocess.Popen | None = None
        self.shell: socket.socket | None = None
        self.prepared = False

    # --- life and death -------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.process is not None:
            return
        self.log("start")
        door = self._listen("shell")
        self._start_chip()
        with open(self.folder / "qemu.log", "ab") as output:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        door.settimeout(60)
        self.shell, _ = door.accept()
        door.close()
        self._wait_for_shell()
        self._join_network()
        if not self.prepared:
            self._prepare()
            self.prepared = True

    def crash(self) -> None:
        """The power is cut: what the guest had not written is gone."""
        self.log("crash")
        if self.process:
            self.process.kill()
        self._gone()

    def shutdown(self) -> None:
        if self.process is None:
            return
        self.log("shutdown")
        self._send("systemctl poweroff\n")
        self.process.wait(timeout=300)
        self._gone()

    def reboot(self) -> None:
        self.shutdown()
        self.start()

    def _gone(self) -> None:
        if self.process:
            self.process.wait()
        if self.shell:
            self.shell.close()
        if self.chip:
            self.chip.terminate()
            self.chip.wait()
        self.process = self.shell = self.chip = None

    def stop(self) -> None:
        """At the end of a run, whatever happened."""
        if self.process:
            self.process.kill()
        self._gone()

    # --- network --------------------------------------------------------------------------------------------------

    def block(self) -> None:
        self._monitor("set_link", name="net0", up=False)

    def unblock(self) -> None:
        self._monitor("set_link", name="net0", up=True)

    # --- commands -------------------------------------------------------------------------------------------------

    def execute(self, command: str, check_return: bool = True, timeout: int | None = 900) -> tuple[int, str]:
        self.start()
        strict = shlex.quote(f"set -euo pipefail; {command}")
        wrapped = f"timeout {timeout} bash -c {strict}" if timeout else f"bash -c {strict}"
        self._send(f"( {wrapped} ) < /dev/null | (base64 -w 0; echo)\n")
        output = base64.b64decode(self._line()).decode(errors="replace")
        if not check_return:
            return -1, output
        self._send("echo ${PIPESTATUS[0]}\n")
        return int(self._line()), output

    def succeed(self, *commands: str, timeout: int | None = 900) -> str:
        everything = ""
        for command in commands:
            self.log(f"must succeed: {command}")
            status, output = self.execute(command, timeout=timeout)
            if status != 0:
                raise ScenarioError(f"{self.name}: `{command}` failed with {status}\n{output}\n{self._journal()}")
            everything += output
        return everything

    def fail(self, *commands: str, timeout: int | None = 900) -> str:
        everything = ""
        for command in commands:
            self.log(f"must fail: {command}")
            status, output = self.execute(command, timeout=timeout)
            if status == 0:
                raise ScenarioError(f"{self.name}: `{command}` succeeded, and should not have\n{output}")
            everything += output
        return everything

    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str:
        self.log(f"waiting for success: {command}")
        return self._retry(command, lambda status: status == 0, timeout)

    def wait_until_fails(self, command: str, timeout: int = 900) -> str:
        self.log(f"waiting for failure: {command}")
        return self._retry(command, lambda status: status != 0, timeout)

    def wait_for_unit(self, unit: str, timeout: int = 900) -> None:
        self.log(f"waiting for {unit}")
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            state = self.get_unit_property(unit, "ActiveState")
            if state == "active":
                return
            if state == "failed":
                raise ScenarioError(f"{self.name}: {unit} failed\n{self._journal(unit)}")
            time.sleep(1)
        raise ScenarioError(f"{self.name}: {unit} is not active after {timeout} s\n{self._journal(unit)}")

    def get_unit_property(self, unit: str, name: str) -> str:
        return self.execute(f"systemctl show --value --property={name} {shlex.quote(unit)}")[1].strip()

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise ScenarioError(f"{self.name}: {unit} is {state}, not {require_state}\n{self._journal(unit)}")

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None:
        self.wait_until_succeeds(f"nc -z {addr} {port}", timeout)

    def wait_for_file(self, path: str, timeout: int = 900) -> None:
        self.wait_until_succeeds(f"test -e {shlex.quote(path)}", timeout)

    def systemctl(self, words: str) -> tuple[int, str]:
        return self.execute(f"systemctl {words}")

    def sleep(self, seconds: int) -> None:
        self.succeed(f"sleep {seconds}")

    def log(self, message: str) -> None:
        print(f"{self.name}: {message}", flush=True)

    def _retry(self, command: str, good: Callable[[int], bool], timeout: int) -> str:
        end = time.monotonic() + timeout
        output = ""
        while time.monotonic() < end:
            status, output = self.execute(command)
            if good(status):
                return output
            time.sleep(0.5)
        raise ScenarioError(f"{self.name}: `{command}` did not get there in {timeout} s\n{output}\n{self._journal()}")

    def _journal(self, unit: str | None = None) -> str:
        which = f"-u {shlex.quote(unit)}" if unit else "-p warning"
        journal = self.execute(f"journalctl --no-pager -o short-monotonic -n 40 {which}")[1]
        # What commands wrote to standard error is on the console.
        return f"{self._console()}\n{journal}"

    # --- how it is done -------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        disk = self.folder / "disk.raw"
        if not disk.exists():
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.setup.base, disk], check=True)
        command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-accel", self.setup.accelerator, "-cpu", "max", "-smp", str(self.setup.processors)]
        command += ["-m", str(self.role.get("memory", 1024))]
        command += ["-kernel", str(self.setup.kernel), "-initrd", str(self.setup.initrd)]
        command += ["-append", KERNEL]
        # A power cut ends QEMU, not the machine it runs on: what the guest has written is kept without waiting for that one's disk.
        command += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
        command += ["-drive", f"file={self.setup.packages},if=virtio,format=raw,readonly=on"]
        command += ["-serial", f"file:{self.folder}/console.log"]
        command += ["-device", "virtio-rng-pci", "-device", "virtio-serial"]
        command += ["-chardev", f"socket,id=shell,path={self.folder}/shell", "-device", "virtconsole,chardev=shell"]
        command += ["-qmp", f"unix:{self.folder}/qmp,server=on,wait=off"]
        command += ["-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={self.setup.hub}"]
        command += ["-device", f"virtio-net-pci,netdev=net0,mac=52:54:00:12:01:{self.number:02x}"]
        if self.role.get("tpm"):
            command += ["-chardev", f"socket,id=chip,path={self.folder}/chip", "-tpmdev", "emulator,id=tpm0,chardev=chip"]
            command += ["-device", "tpm-tis,tpmdev=tpm0"]
        return command

    def _start_chip(self) -> None:
        """The TPM emulator. Its state is the chip: made once, kept over a power cut."""
        if not self.role.get("tpm"):
            return
        state = self.folder / "chip-state"
        if not state.exists():
            state.mkdir()
            subprocess.run(
                ["swtpm_setup", "--tpm2", "--tpmstate", state, "--createek", "--create-ek-cert", "--ecc"]
                + ["--lock-nvram", "--pcr-banks", "sha256", "--overwrite"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        (self.folder / "chip").unlink(missing_ok=True)
        self.chip = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={self.folder}/chip"]
        )
        _wait_for(lambda: (self.folder / "chip").exists(), 10, "the TPM emulator")

    def _listen(self, name: str) -> socket.socket:
        path = self.folder / name
        path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(str(path))
        door.listen(1)
        return door

    def _monitor(self, verb: str, **arguments: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
            monitor.connect(str(self.folder / "qmp"))
            talk = monitor.makefile("rw")
            talk.readline()
            for message in ({"execute": "qmp_capabilities"}, {"execute": verb, "arguments": arguments}):
                talk.write(json.dumps(message) + "\n")
                talk.flush()
                while "event" in (answer := json.loads(talk.readline())):
                    pass
                if "error" in answer:
                    raise ScenarioError(f"{self.name}: the machine refuses {verb}: {answer['error']}")

    def _wait_for_shell(self) -> None:
        assert self.shell
        self.shell.settimeout(1800)
        while "guest shell ready" not in self._line():
            pass
        self.shell.settimeout(None)
        self.log("booted")

    def _send(self, text: str) -> None:
        assert self.shell
        self.shell.sendall(text.encode())

    def _line(self) -> str:
        assert self.shell
        received = b""
        while not received.endswith(b"\n"):
            part = self.shell.recv(65536)
            if not part:
                raise ScenarioError(f"{self.name}: the machine is gone\n{self._console()}")
            received += part
        return received.decode(errors="replace").strip()

    def _console(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")[-1500:]

    def _join_network(self) -> None:
        self._retry("test -e /sys/class/net/eth0", lambda status: status == 0, 300)
        names = "\n".join(f"{address} {name}" for name, address in self.setup.hosts.items())
        self._quietly(
            f"ip address replace {self.setup.hosts[self.name]}/24 dev eth0 && ip link set eth0 up"
            f" && hostname {self.name} && printf '127.0.0.1 localhost {self.name}\\n{names}\\n' > /etc/hosts"
        )

    def _prepare(self) -> None:
        """Packages first, settings after them: a daemon without settings is not started, so the scenario does that."""
        files = " ".join(f"/packages/{package}_*.deb" for package in self.role["packages"])
        self.log("installing packages")
        self._quietly("mkdir -p /packages && mount -o ro /dev/vdb /packages")
        self._prepare_database()
        self._quietly(f"DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i {files} 2>&1")
        for path, text in self.role["files"].items():
            encoded = base64.b64encode(text.encode()).decode()
            self._quietly(f"mkdir -p {os.path.dirname(path)} && echo {encoded} | base64 -d > {path}")
        self._quietly("systemctl daemon-reload")
        self.log("installed")

    def _quietly(self, command: str) -> None:
        status, output = self.execute(command)
        if status != 0:
            raise ScenarioError(f"{self.name}: `{command}` failed with {status}\n{output}\n{self._journal()}")

    def _prepare_database(self) -> None:
        """PostgreSQL with a database per daemon, reached over the local socket as the daemon's own user."""
        names = self.role["postgresql"]
        if not names:
            return
        self._quietly("systemctl start postgresql.service")
        for name in names:
            self._quietly(f"runuser -u postgres -- createuser {name} && runuser -u postgres -- createdb -O {name} {name}")


def _wait_for(condition: Callable[[], bool], seconds: int, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ScenarioError(f"{what} did not start in {seconds} s")
        time.sleep(0.1)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
