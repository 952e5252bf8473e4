"""Runs scenarios against Debian guests. Started by `cargo xtask vm`, which makes the disks; see vm-tests/README.md."""

import argparse
import json
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from guest import Guest, ScenarioError, Setup, remove
from hub import Hub
from role import role

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    options = arguments()
    outcomes = [(name, *run(name, options)) for name in options.scenarios]
    print("\nscenario                          seconds  outcome")
    for name, seconds, fault in outcomes:
        print(f"{name:<32}  {seconds:7.0f}  {'passed' if fault is None else 'FAILED'}")
    return 1 if any(fault for _, _, fault in outcomes) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("base", "kernel", "initrd", "packages", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--accelerator", default="tcg,thread=multi")
    parser.add_argument("--keep", action="store_true", help="keep disks and logs")
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
        hosts={machine: f"192.168.1.{number}" for number, machine in enumerate(sorted(machines), 1)},
    )
    guests = {
        machine: Guest(machine, role(machine), number, setup) for number, machine in enumerate(sorted(machines), 1)
    }
    fault = None
    try:
        text = "".join((HERE / "scenarios" / f"{part}.py").read_text() for part in ("common", name))
        play(text, name, guests)
    except (ScenarioError, AssertionError, OSError) as error:
        fault = str(error)
        print(f"\n{name} failed: {fault}", file=sys.stderr, flush=True)
    finally:
        for guest in guests.values():
            guest.stop()
        hub.close()
        if fault is None and not options.keep:
            remove(work)
    return time.monotonic() - began, fault


def play(text: str, name: str, guests: dict[str, Guest]) -> None:
    """The scenario sees what the NixOS driver would show it: its machines by name, and these words."""

    def start_all() -> None:
        with ThreadPoolExecutor() as together:
            list(together.map(Guest.start, guests.values()))

    words = {"start_all": start_all, "subtest": subtest, "t": unittest.TestCase(), "machines": list(guests.values())}
    words |= {machine.replace("-", "_"): guest for machine, guest in guests.items()}
    exec(compile(text, f"{name}.py", "exec"), words)


@contextmanager
def subtest(title: str) -> Iterator[None]:
    print(f"--- {title}", flush=True)
    began = time.monotonic()
    try:
        yield
    except Exception:
        print(f"--- {title}: failed after {time.monotonic() - began:.0f} s", flush=True)
        raise
    print(f"--- {title}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
