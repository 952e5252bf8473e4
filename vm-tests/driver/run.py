"""Runs scenarios against Debian guests. Started by `cargo xtask vm`, which makes the disks; see vm-tests/README.md."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from guest import Guest, ScenarioError, Setup, remove
from hub import Hub
from play import Play
from role import role

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    options = arguments()
    # Whoever ends us ends the guests too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes = [(name, *run(name, options)) for name in options.scenarios]
    print("\nscenario                          seconds  outcome")
    for name, seconds, trouble in outcomes:
        print(f"{name:<32}  {seconds:7.0f}  {'passed' if trouble is None else 'FAILED'}")
    return 1 if any(trouble for _, _, trouble in outcomes) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("base", "kernel", "initrd", "packages", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--accelerator", default="tcg,thread=multi,tb-size=256")
    parser.add_argument("--processors", type=int, default=1, help="of each guest")
    parser.add_argument("--keep", action="store_true", help="keep disks and logs")
    parser.add_argument("--fault", help="break this, and expect the scenario to fail where faults.json says")
    parser.add_argument("--prove", action="store_true", help="break, see it noticed, and mend, on the way")
    parser.add_argument("scenarios", nargs="+")
    return parser.parse_args()


def run(name: str, options: argparse.Namespace) -> tuple[float, str | None]:
    """One scenario with its own guests: how long it took, and what went wrong."""
    print(f"\n=== {name}", flush=True)
    began = time.monotonic()
    work = options.work / name
    remove(work)
    work.mkdir(parents=True)
    hub = Hub(str(work / "hub"))
    machines = json.loads((HERE / "scenarios.json").read_text())[name]
    setup = Setup(
        base=options.base,
        kernel=options.kernel,
        initrd=options.initrd,
        packages=options.packages,
        work=work,
        hub=str(work / "hub"),
        accelerator=options.accelerator,
        processors=options.processors,
        hosts={machine: f"192.168.1.{number}" for number, machine in enumerate(sorted(machines), 1)},
    )
    guests = {
        machine: Guest(machine, role(machine), number, setup) for number, machine in enumerate(sorted(machines), 1)
    }
    trouble = None
    try:
        faults = json.loads((HERE / "faults.json").read_text()).get(name, {})
        Play(name, HERE / "scenarios", guests, faults).run(options.fault, options.prove)
    except (ScenarioError, AssertionError, OSError) as error:
        trouble = str(error)
        print(f"\n{name} failed: {trouble}", file=sys.stderr, flush=True)
    finally:
        for guest in guests.values():
            guest.stop()
        hub.close()
        if trouble is None and not options.keep:
            remove(work)
    return time.monotonic() - began, trouble


if __name__ == "__main__":
    sys.exit(main())
