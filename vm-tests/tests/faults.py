"""Every subtest of every scenario has a deliberate fault that it must notice, and every fault can be tried.

    python3 vm-tests/tests/faults.py

What is looked at here is the text: whether a subtest does notice is seen by `cargo xtask vm NAME --fault FAULT`.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys

VM_TESTS = (pathlib.Path(__file__).parent / "..").resolve()
sys.path.insert(0, str(VM_TESTS / "driver"))
sys.dont_write_bytecode = True

from play import title_of  # noqa: E402

# What a program in front of the real one is written with.
WRITTEN = re.compile(r"printf '(?P<text>[^']*)' > /usr/local/bin/(?P<program>[a-z0-9-]+)")


def titles(source):
    """The subtests in a scenario's text, and those among them that the driver would not see."""
    tree = ast.parse(source)
    seen = [title for statement in tree.body if (title := title_of(statement))]
    everywhere = [title for node in ast.walk(tree) if (title := title_of(node))]
    return seen, [title for title in everywhere if title not in seen]


def words(source):
    """What a text reads and nobody gives it: neither itself nor Python."""
    tree = ast.parse(source)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    given = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    given |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    given |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return given, read


def problems(scenarios, faults, sources):
    found = [f"faults.json knows a scenario {name!r} that is not there" for name in faults if name not in scenarios]
    common, _ = words(sources["common"])
    for name, machines in scenarios.items():
        seen, unseen = titles(sources[name])
        found += [f"{name}: the driver does not see the subtest {title!r}: it must not be inside of something" for title in unseen]
        found += [f"{name}: two subtests are called {title!r}" for title in set(seen) if seen.count(title) > 1]
        ours = faults.get(name, {})
        noticed = {fault.get("in") for fault in ours.values()}
        found += [f"{name}: nothing shows that {title!r} can fail" for title in seen if title not in noticed]
        known = common | words(sources[name])[0] | {machine.replace("-", "_") for machine in machines}
        for fault, entry in ours.items():
            found += [f"{name}: {fault}: {said}" for said in problems_of(entry, seen, known)]
    return found


def problems_of(entry, seen, known):
    if not {"in", "do"} <= set(entry) <= {"in", "do", "undo"}:
        return [f"has {', '.join(entry)} in place of in, do and perhaps undo"]
    found = [] if entry["in"] in seen else [f"no subtest is called {entry['in']!r}"]
    for part in ("do", "undo"):
        try:
            given, read = words(entry.get(part, ""))
        except SyntaxError as error:
            found.append(f"{part}: {error.msg}")
            continue
        found += [f"{part}: nobody knows {word}" for word in sorted(read - known - given)]
        found += commands_of(part, entry.get(part, ""))
    return found


def commands_of(part, source):
    """Whether a shell understands each command, and each program that is put in front of a real one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value):
            continue
        scripts = [node.value]
        for written in WRITTEN.finditer(node.value):
            scripts.append(subprocess.run(["printf", written["text"]], capture_output=True, text=True, check=True).stdout)
        for script in scripts:
            read = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
            found += [f"{part}: bash does not understand {script!r}"] if read.returncode else []
    return found


def read():
    scenarios = json.loads((VM_TESTS / "scenarios.json").read_text())
    faults = json.loads((VM_TESTS / "faults.json").read_text())
    folder = VM_TESTS / "scenarios"
    sources = {name: (folder / f"{name}.py").read_text() for name in [*scenarios, "common"]}
    return scenarios, faults, sources


# One mistake of each kind, so that what looks for them cannot be blind.
WRONG = """
with subtest("first"):
    pass
with subtest("first"):
    pass
if True:
    with subtest("hidden"):
        pass
with subtest("without a fault"):
    pass
"""
MISTAKES = {
    "story": {
        "good": {"in": "first", "do": "machine.succeed('true')"},
        "elsewhere": {"in": "second", "do": "machine.succeed('true')"},
        "stranger": {"in": "first", "do": "nobody.succeed('true')"},
        "half": {"in": "first"},
        "no-python": {"in": "first", "do": "machine.succeed("},
        "no-shell": {"in": "first", "do": "machine.succeed('if true; done')"},
    },
    "nowhere": {},
}
seen = problems({"story": ["machine"]}, MISTAKES, {"common": "", "story": WRONG})
assert len(seen) == 9, "\n".join(seen)

scenarios, faults, sources = read()
found = problems(scenarios, faults, sources)
assert not found, "\n" + "\n".join(found)
subtests = sum(len(titles(sources[name])[0]) for name in scenarios)
print(f"{subtests} subtests in {len(scenarios)} scenarios, and {sum(map(len, faults.values()))} faults that they must notice")
