"""Every test, scenario and sentence that docs/PROMISES.md and docs/FINDINGS-OF-APPLIANCES.md name is there, and no line goes
without.

    python3 scripts/tests/promises.py
"""

import pathlib
import re

ROOT = (pathlib.Path(__file__).parent / "../..").resolve()
ROW = re.compile(r"^\| (?P<promise>.+?) \| ?(?P<kept>.*?) ?\|$")
NAMED = {
    "test": re.compile(r"test `([a-z0-9_]+)`"),
    "scenario": re.compile(r'scenario `([a-z-]+)` "([^"]+)"'),
    "nix": re.compile(r'nix "([^"]+)"'),
    "script": re.compile(r"script `([^`]+)`"),
}
TEST = re.compile(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?(?:async )?fn (\w+)")


def tests():
    found = set()
    for file in ROOT.glob("crates/**/*.rs"):
        if "target" not in file.parts:
            found.update(TEST.findall(file.read_text()))
    return found


def missing(kind, name, known):
    """Why this name stands for nothing; None if it stands for something."""
    if kind == "test" and name not in known["test"]:
        return f"no test is called {name}"
    if kind == "scenario":
        file, part = name
        story = ROOT / f"vm-tests/scenarios/{file}.py"
        if not story.exists() or f'subtest("{part}")' not in story.read_text():
            return f"the scenario {file} has no part {part!r}"
    if kind == "nix" and f'"{name}" =' not in known["nix"]:
        return f"nix/promise-tests.nix and nix/assertion-tests.nix know nothing of {name!r}"
    if kind == "script" and not (ROOT / name).exists():
        return f"there is no {name}"
    return None


def problems(text, known):
    found, promises = [], set()
    for line in text.splitlines():
        row = ROW.match(line)
        if not row or row["promise"] in ("promise", "finding") or set(row["promise"]) == {"-"}:
            continue
        if row["promise"] in promises:
            found.append(f"promised twice: {row['promise']}")
        promises.add(row["promise"])
        parts = row["kept"].split("; ")
        for part in parts:
            matches = [(kind, form.fullmatch(part)) for kind, form in NAMED.items()]
            named = [(kind, match.groups() if len(match.groups()) > 1 else match[1]) for kind, match in matches if match]
            if not named:
                found.append(f"{row['promise']}: {part!r} is no test, scenario, sentence or script")
            found.extend(f"{row['promise']}: {said}" for kind, name in named if (said := missing(kind, name, known)))
    return found, len(promises)


known = {
    "test": tests(),
    "nix": (ROOT / "nix/promise-tests.nix").read_text() + (ROOT / "nix/assertion-tests.nix").read_text(),
}
# What this looks for is found: a table with one mistake of each kind has so many.
wrong = "| a | test `no_such_test` |\n| b | scenario `trial` \"nothing\" |\n| c | nix \"nothing\" |\n| d | script `nothing.sh` |\n| e | |\n| f | hope |\n"
seen, _ = problems(wrong, known)
assert len(seen) == 6, seen
found, count = problems((ROOT / "docs/PROMISES.md").read_text(), known)
assert not found, "\n" + "\n".join(found)
assert count > 50, f"{count} promises"
mended, findings = problems((ROOT / "docs/FINDINGS-OF-APPLIANCES.md").read_text(), known)
assert not mended, "\n" + "\n".join(mended)
assert findings > 20, f"{findings} findings"
print(f"{count} promises and {findings} findings, and each has something that fails without it")
