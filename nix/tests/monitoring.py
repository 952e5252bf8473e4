"""Alert rules and board name figures that the daemons really have, and every rule tells a person what to do.

    python3 nix/tests/monitoring.py

With promtool at hand the rules are read by Prometheus itself as well.
"""

import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parent / "../.."
MONITORING = ROOT / "nixos-modules/monitoring"


def source_of(prefix):
    """The file of the daemons that gives its figures this beginning."""
    (text,) = (
        text for file in (ROOT / "crates").rglob("src/**/metrics.rs") if f'"{prefix}"' in (text := file.read_text())
    )
    return text


def figures():
    """As the daemons write them: a counter ends in _total."""
    node = source_of("birthmark_node")
    counters = set(re.findall(r"pub (\w+): Counter", node))
    named = re.findall(r"(\w+): new\(\s*all,\s*\"(\w+)\"", node)
    known = {f"birthmark_node_{name}{'_total' if field in counters else ''}" for field, name in named}
    authority = source_of("birthmark_sma")
    known |= {f"birthmark_sma_{name}" for name in re.findall(r"gauge\(&mut all, \"(\w+)\"", authority)}
    known |= {f"birthmark_sma_{name}_total" for name in re.findall(r"all\.register\(\"(\w+)\"", authority)}
    assert len(known) > 15, f"only these figures were found in the sources: {known}"
    return known


def main():
    known = figures()
    rules = (MONITORING / "alerts.yml").read_text()
    board = json.loads((MONITORING / "board.json").read_text())
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for where, text in (("alerts.yml", rules), ("board.json", "\n".join(shown))):
        named = set(re.findall(r"\bbirthmark_(?:node|sma)_\w+", text))
        assert named, f"{where} names no figure"
        assert named <= known, f"{where} names figures that no daemon has: {sorted(named - known)}"
    alerts = re.split(r"^ +- alert: ", rules, flags=re.MULTILINE)[1:]
    for alert in alerts:
        name = alert.splitlines()[0]
        for part in ("severity: ", "summary: ", "do: "):
            assert part in alert, f"the rule {name} has no {part.strip(': ')}"
    unseen = known - set(re.findall(r"\bbirthmark_(?:node|sma)_\w+", rules + "\n".join(shown)))
    promtool = shutil.which("promtool")
    if promtool:
        subprocess.run([promtool, "check", "rules", str(MONITORING / "alerts.yml")], check=True, stdout=subprocess.DEVNULL)
    print(f"monitoring: {len(alerts)} rules, {len(shown)} lines of the board; not shown: {', '.join(sorted(unseen)) or 'none'}")


main()
