"""Farebox against its upstream itself and a bare pass-through, round by round."""

import contextlib
from pathlib import Path

import msgspec
from rich.console import Console

from proxy.clock import SystemClock
from tests.bench import processes, wire
from tests.bench.engines import SqliteEngine
from tests.bench.farebox import Books, farebox
from tests.bench.history import History
from tests.bench.loads import Load, Yield
from tests.bench.pairs import PairSample, Writers
from tests.bench.processes import Server
from tests.bench.report import FAREBOX, PASSTHROUGH, UPSTREAM, Http, Sample, Scenario, rows_of

EVENT_MS = 10
WARM_UP_SECONDS = 1.0
ALONE_IN_FLIGHT = (1, 16, 128)


class Extent(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: float

    @property
    def scenarios(self) -> list[Scenario]:
        """Whole answers, long streams, and short streams for the time to their first event."""
        whole = [Scenario(connections, self.seconds) for connections in (64, 16, 1)]
        short = [Scenario(connections, self.seconds, 4) for connections in (64, 16, 1)]
        return [*whole, Scenario(64, self.seconds, 200), *short]


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
            self.owed_nano += outcome.calls * wire.price_nano(scenario.events or wire.WHOLE_OUTPUT_TOKENS)
        return outcome


def http(extent: Extent, folder: Path, console: Console) -> Http:
    """Measure all; databases and logs are made in `folder`."""
    alone = ledger_alone(folder, extent.seconds)
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(processes.canned_upstream(folder, EVENT_MS))
        passthrough = stack.enter_context(processes.bare_passthrough(folder, upstream.port))
        till = stack.enter_context(farebox(folder, upstream.port))
        subjects = {UPSTREAM: upstream, PASSTHROUGH: passthrough, FAREBOX: till.server}
        bench = Bench(subjects, console)
        samples = bench.measure(extent)
        books = till.books()
    return Http(extent.rounds, rows_of(samples), books, Books(bench.owed_nano, 0), samples, alone)


def ledger_alone(folder: Path, seconds: float) -> list[PairSample]:
    """Pairs of authorize and settle on SQLite, every commit synced, on one account with no other calls."""
    engine = SqliteEngine(folder)
    location = engine.new("alone", History(0, SystemClock().now_us()))
    with Writers(engine, location, 1) as writers:
        writers.warm_up(WARM_UP_SECONDS)
        return [writers.sample(in_flight, 1, seconds, 0) for in_flight in ALONE_IN_FLIGHT]
