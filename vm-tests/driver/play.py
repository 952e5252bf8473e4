"""One scenario from its first statement to its last, and the deliberate faults that show it can fail."""

import ast
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from guest import Guest, ScenarioError

# What a scenario raises when a promise is not kept.
BROKEN = (ScenarioError, AssertionError)


class Play:
    """The scenario sees what the NixOS driver would show it: its machines by name, and these words."""

    def __init__(self, name: str, folder: Path, guests: dict[str, Guest], faults: dict[str, dict[str, str]]) -> None:
        self.faults = faults
        self.guests = guests
        self.statements = []
        for part in ("common", name):
            path = folder / f"{part}.py"
            self.statements += [(str(path), statement) for statement in ast.parse(path.read_text(), str(path)).body]
        self.words = {
            "start_all": self._start_all,
            "subtest": subtest,
            "t": unittest.TestCase(),
            "machines": list(guests.values()),
        }
        self.words |= {machine.replace("-", "_"): guest for machine, guest in guests.items()}

    def run(self, wanted: str | None, prove: bool) -> None:
        """Everything in turn. `wanted` is the fault to break the scenario with, which then ends where it must fail; `prove`
        breaks and mends on the way whatever can be mended."""
        if wanted and wanted not in self.faults:
            raise ScenarioError(f"there is no fault {wanted!r}; there are {', '.join(self.faults) or 'none'}")
        for path, statement in self.statements:
            for name, fault in self._faults_of(statement):
                if name == wanted:
                    return self._must_fail(path, statement, name, fault)
                if prove and not wanted and "undo" in fault:
                    self._must_fail(path, statement, name, fault)
                    self._say(path, fault["undo"])
            self._perform(path, statement)
        if wanted:
            raise ScenarioError(f"the fault {wanted!r} names a subtest that is not there: {self.faults[wanted]['in']}")

    def _faults_of(self, statement: ast.stmt) -> list[tuple[str, dict[str, str]]]:
        title = title_of(statement)
        return [(name, fault) for name, fault in self.faults.items() if fault["in"] == title]

    def _must_fail(self, path: str, statement: ast.stmt, name: str, fault: dict[str, str]) -> None:
        print(f"--- deliberate fault: {name}", flush=True)
        self._say(path, fault["do"])
        try:
            self._perform(path, statement)
        except BROKEN as error:
            print(f"--- deliberate fault: {name}: noticed: {str(error).splitlines()[0]}", flush=True)
            return
        raise ScenarioError(f"the deliberate fault {name!r} was not noticed")

    def _say(self, path: str, text: str) -> None:
        exec(compile(text, path, "exec"), self.words)

    def _perform(self, path: str, statement: ast.stmt) -> None:
        exec(compile(ast.Module([statement], []), path, "exec"), self.words)

    def _start_all(self) -> None:
        with ThreadPoolExecutor() as together:
            list(together.map(Guest.start, self.guests.values()))


def title_of(statement: ast.stmt) -> str | None:
    """The title, if the statement is a subtest."""
    match statement:
        case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="subtest"), args=[ast.Constant(value=title)]))]):
            return title
    return None


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
