"""`python -m tests.bench`: Farebox against its upstream itself and a bare pass-through, in one run."""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from tests.bench import processes, wire
from tests.bench.farebox import Books, farebox, price_nano
from tests.bench.ledger import Pace
from tests.bench.loads import Load, Yield
from tests.bench.processes import Server
from tests.bench.report import (
    FAREBOX,
    PASSTHROUGH,
    UPSTREAM,
    Report,
    Sample,
    Scenario,
    machine_of,
    rows_of,
    show,
    write_json,
)

EVENT_MS = 10
LEDGER_CALLERS = (1, 16, 128)
WARM_UP_SECONDS = 1.0
FILE_WIDTH = 120
"""Columns of the table where no terminal tells its own."""


class Extent(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: float
    ledger_seconds: float

    @property
    def scenarios(self) -> list[Scenario]:
        """Whole answers, long streams, and short streams for the time to their first event."""
        whole = [Scenario(connections, self.seconds) for connections in (64, 16, 1)]
        short = [Scenario(connections, self.seconds, 4) for connections in (64, 16, 1)]
        return [*whole, Scenario(64, self.seconds, 200), *short]


FULL = Extent(rounds=5, seconds=4.0, ledger_seconds=4.0)
QUICK = Extent(rounds=1, seconds=1.0, ledger_seconds=1.0)


class Bench:
    """The subjects side by side, and what their callers should have been charged."""

    def __init__(self, subjects: dict[str, Server], console: Console) -> None:
        self._subjects = subjects
        self._console = console
        self.owed_nano = 0

    def measure(self, extent: Extent) -> list[Sample]:
        """Every scenario on every subject, round by round, so that all see the same weather."""
        for name, server in self._subjects.items():
            for events in (None, 4):
                self._send(name, Scenario(64, WARM_UP_SECONDS, events))
            self._console.print(f"{name} is warm: {server.memory_bytes() / 2**20:.0f} MiB")
        samples = []
        for number in range(extent.rounds):
            for scenario in extent.scenarios:
                samples += [self._sample(name, scenario, number) for name in self._subjects]
            self._console.print(f"round {number + 1} of {extent.rounds} is done")
        return samples

    def _sample(self, name: str, scenario: Scenario, number: int) -> Sample:
        server = self._subjects[name]
        before_seconds = server.cpu_seconds()
        outcome = self._send(name, scenario)
        return Sample(name, scenario, number, server.cpu_seconds() - before_seconds, outcome)

    def _send(self, name: str, scenario: Scenario) -> Yield:
        server = self._subjects[name]
        outcome = processes.load_from_outside(
            Load(server.port, server.key, scenario.connections, scenario.seconds, scenario.events)
        )
        if name == FAREBOX:
            self.owed_nano += outcome.calls * price_nano(scenario.events or wire.WHOLE_OUTPUT_TOKENS)
        return outcome


def ledger_paces(folder: Path, seconds: float) -> list[Pace]:
    """The ledger alone, in a process of its own. Raises RuntimeError with its output when that fails."""
    callers = [str(each) for each in LEDGER_CALLERS]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.ledger", str(folder), str(seconds), *callers],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return msgspec.json.decode(done.stdout, type=list[Pace])


def run(extent: Extent, folder: Path, console: Console) -> Report:
    """Measure everything; databases and logs are made in `folder`."""
    machine = machine_of(folder)
    paces = ledger_paces(folder, extent.ledger_seconds)
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(processes.canned_upstream(folder, EVENT_MS))
        passthrough = stack.enter_context(processes.bare_passthrough(folder, upstream.port))
        till = stack.enter_context(farebox(folder, upstream.port))
        subjects = {UPSTREAM: upstream, PASSTHROUGH: passthrough, FAREBOX: till.server}
        bench = Bench(subjects, console)
        samples = bench.measure(extent)
        books = till.books()
    return Report(machine, extent.rounds, rows_of(samples), paces, books, Books(bench.owed_nano, 0), samples)


def main(arguments: Sequence[str]) -> int:
    """Parse the command line, run, print and write; the result is 1 when the books do not add up."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round: shows that it works, not how well"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("bench.json"), help="where the figures go (%(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="a folder on the disk to measure (%(default)s)"
    )
    options = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=options.folder) as folder:
        report = run(QUICK if options.quick else FULL, Path(folder), console)
    show(report, console)
    write_json(report, options.output)
    return 0 if report.books == report.expected else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
