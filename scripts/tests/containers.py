"""The containers have what the daemons' units have: the same keys, folders and ports, and Podman understands every line.

    python3 scripts/tests/containers.py

Without Podman 5 only the first half is looked at. A container is not started here.
"""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = (pathlib.Path(__file__).parent / "../..").resolve()
CONTAINERS = ROOT / "containers"
QUADLET = pathlib.Path(os.environ.get("QUADLET", "/usr/libexec/podman/quadlet"))
# The numbers that Containerfile gives the users.
USERS = {"node": 8545, "sma": 8001}


def values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def check(holds, sentence):
    assert holds, sentence


containerfile = (CONTAINERS / "Containerfile").read_text()
for daemon, user in USERS.items():
    name = f"birthmark-{daemon}"
    unit = (ROOT / f"systemd/{name}.service").read_text()
    socket = (ROOT / f"systemd/{name}.socket").read_text()
    quadlet = (CONTAINERS / f"{name}.container").read_text()

    # Every credential the daemon reads, where it looks, readable by nobody else.
    # What authorities gave is a secret for each authority, which whoever has one adds.
    wanted = {tuple(value.split(":")) for value in values(unit, "ImportCredential") if "*" not in value}
    given = set()
    for value in values(quadlet, "Secret"):
        secret, *options = value.split(",")
        options = dict(option.split("=", 1) for option in options)
        check(options["type"] == "mount" and options["mode"] == "0400", f"{name}: {secret} is open to others")
        check({options["uid"], options["gid"]} == {str(user)}, f"{name}: {secret} belongs to somebody else")
        folder, credential = options["target"].rsplit("/", 1)
        check(f"ENV CREDENTIALS_DIRECTORY={folder}\n" in containerfile, f"{name}: nobody looks into {folder}")
        given.add((secret, credential))
    check(given == wanted, f"{name}: credentials {given}, and the unit has {wanted}")

    # Each of its folders is a volume of its own: what must never be taken back is not beside what may be.
    folders = {f"/var/lib/{folder}" for folder in values(unit, "StateDirectory")[0].split()}
    volumes = dict(value.split(":")[:2][::-1] for value in values(quadlet, "Volume"))
    check(folders <= set(volumes), f"{name}: {folders - set(volumes)} would be gone with the container")
    check(len({volumes[folder] for folder in folders}) == len(folders), f"{name}: two folders on one volume")
    for folder in folders:
        volume = (CONTAINERS / volumes[folder]).read_text()
        check(values(volume, "User") == [str(user)], f"{volumes[folder]} belongs to somebody else")
        check(re.search(rf"install -d -o {name} .*{folder}\b", containerfile), f"{folder} is not in the image")

    check(values(quadlet, "User") == [str(user)] == values(quadlet, "Group"), f"{name}: another user")
    check(f"--uid {user} --gid {user} --home-dir /nonexistent --shell /usr/sbin/nologin {name}" in containerfile, name)
    (address,) = values(socket, "ListenStream")
    port = address.rsplit(":", 1)[1]
    check(values(quadlet, "PublishPort") == [f"{address}:{port}"], f"{name}: published elsewhere than on {address}")
    check(values(quadlet, "ReadOnly") == ["true"] and values(quadlet, "DropCapability") == ["all"], f"{name}: not confined")
    check(values(quadlet, "NoNewPrivileges") == ["true"], f"{name}: not confined")
    sandbox = (ROOT / "systemd/birthmark-.service.d/50-sandbox.conf").read_text()
    hopeless = values(sandbox, "RestartPreventExitStatus")
    check(values(quadlet, "RestartPreventExitStatus") == hopeless, f"{name}: started again for ever with wrong settings")

# The same for Compose, which has one validator.
compose = (CONTAINERS / "compose.yaml").read_text()
unit = (ROOT / "systemd/birthmark-node.service").read_text()
for _, credential in (value.split(":") for value in values(unit, "ImportCredential") if "*" not in value):
    check(f"target: /run/credentials/{credential}\n" in compose, f"compose.yaml: {credential} is missing")
for folder in values(unit, "StateDirectory")[0].split():
    check(f":/var/lib/{folder}\n" in compose, f"compose.yaml: {folder} would be gone with the container")
check('"127.0.0.1:8545:8545"' in compose and "cap_drop: [ALL]" in compose and "read_only: true" in compose, "compose.yaml")

if not QUADLET.exists():
    print("containers: they have what the units have; Podman 5 is not installed, so no line of them was read by it")
else:
    with tempfile.TemporaryDirectory() as place:
        ended = subprocess.run(
            [QUADLET, "-dryrun"],
            env={**os.environ, "QUADLET_UNIT_DIRS": str(CONTAINERS)},
            capture_output=True,
            text=True,
            cwd=place,
        )
    said = ended.stdout + ended.stderr
    check(ended.returncode == 0 and "unsupported key" not in said, said)
    for unit in ("birthmark-node", "birthmark-sma", "birthmark-node-volume", "birthmark-guard-volume", "birthmark-sma-volume"):
        check(f"---{unit}.service---" in said, f"Podman makes no {unit}.service:\n{said}")
    print("containers: they have what the units have, and Podman understands them")
