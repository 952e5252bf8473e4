"""What a Debian guest is before a scenario begins: the same machine that vm-tests/machines describes to NixOS."""

import json
from pathlib import Path

MACHINES = Path(__file__).resolve().parent.parent / "machines"

PACKAGE = {
    "signer": "birthmark-camera",
    "gps": "birthmark-camera",
    "capture": "birthmark-camera",
    "sma": "birthmark-authority",
    "node": "birthmark-validator",
}


def role(machine: str) -> dict:
    """Packages, settings files and hardware, from machines/NAME.json."""
    described = json.loads((MACHINES / f"{machine}.json").read_text())
    daemons = described["daemons"]
    # A painted scene is in no package that ships.
    folder = "rehearsal" if described.get("rehearsal") else "shipped"
    names = ["birthmark", "birthmark-common", *sorted({PACKAGE[name] for name in daemons})]
    packages = [f"{folder}/{name}" for name in names]
    # What nobody has set has no file, as after the installation.
    files = {f"/etc/birthmark/{name}.toml": toml(settings) for name, settings in daemons.items() if settings}
    for name, addresses in described.get("listen", {}).items():
        lines = ["[Socket]", "ListenStream=", *(f"ListenStream={address}" for address in addresses)]
        files[f"/etc/systemd/system/birthmark-{name}.socket.d/listen.conf"] = "\n".join(lines) + "\n"
    return {
        "tpm": described.get("tpm", False),
        "memory": described.get("memory", 1024),
        "packages": packages,
        "files": files,
        "postgresql": [f"birthmark-{name}" for name in described.get("postgresql", [])],
    }


def toml(table: dict, path: tuple[str, ...] = ()) -> str:
    """A settings file from its JSON form: values first, then tables, as TOML wants it."""
    lines = [f"{key} = {value(entry)}" for key, entry in table.items() if not is_table(entry)]
    for key, entry in table.items():
        name = ".".join((*path, key))
        for element in [entry] if isinstance(entry, dict) else entry if is_table(entry) else []:
            heading = f"[{name}]" if isinstance(entry, dict) else f"[[{name}]]"
            lines += ["", heading, toml(element, (*path, key)).rstrip()]
    return "\n".join(lines) + "\n"


def is_table(entry: object) -> bool:
    return isinstance(entry, dict) or (isinstance(entry, list) and bool(entry) and isinstance(entry[0], dict))


def value(entry: object) -> str:
    """JSON and TOML write strings, numbers, truth and arrays of them alike."""
    return json.dumps(entry, ensure_ascii=False)
