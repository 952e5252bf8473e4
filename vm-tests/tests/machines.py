"""What machines/*.json sets: only what the daemons know, and of an authority both of its lists.

    python3 vm-tests/tests/machines.py

Each daemon's example names every setting that it has, which a test of the daemon's own sees to.
"""

import json
import pathlib
import re

ROOT = (pathlib.Path(__file__).parent / "../..").resolve()
# A setting of the example, switched off or on, or a table of them.
NAMED = re.compile(r"^(?:# ?)?(?:([a-z_0-9]+) *=|\[\[?([a-z_.0-9]+)\]\]?$)", re.MULTILINE)
INLINE = re.compile(r"[{,] *([a-z_0-9]+) *=")


def names(daemon):
    example = (ROOT / f"crates/{daemon}/{daemon}.example.toml").read_text()
    found = {name for pair in NAMED.findall(example) for path in pair for name in path.split(".") if name}
    return found | set(INLINE.findall(example))


def keys(settings):
    if isinstance(settings, dict):
        # The example is of what ships, and that paints no pictures.
        if settings.get("kind") == "simulated":
            return
        for key, value in settings.items():
            yield key
            yield from keys(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from keys(value)


def problems(described, known):
    found = []
    for daemon, settings in described["daemons"].items():
        found += [f"{daemon}: no setting is called {key}" for key in keys(settings) if key not in known(daemon)]
        for authority in settings.get("authorities", []):
            # `doctor` calls either a fault that is missing: stolen cameras stay welcome, or their photos good.
            found += [
                f"{daemon}: of {authority['id']} nobody fetches the {name}"
                for name in ("revocations", "revocation_feed")
                if name not in authority
            ]
    return found


wrong = {"daemons": {"node": {"datadase": "", "authorities": [{"id": "A", "revocations": ""}]}}}
assert len(problems(wrong, names)) == 2, problems(wrong, names)
machines = sorted((ROOT / "vm-tests/machines").glob("*.json"))
found = [f"{path.name}: {said}" for path in machines for said in problems(json.loads(path.read_text()), names)]
assert not found, "\n" + "\n".join(found)
print(f"{len(machines)} machines set only what their daemons know")
