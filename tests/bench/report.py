"""What was measured, put together: medians over the rounds, ratios, one table and one JSON file."""

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from proxy.money import usd_string
from tests.bench.attacks import AttackFigures, attack_lines
from tests.bench.families import FamilyFigures, family_lines
from tests.bench.farebox import Books
from tests.bench.loads import Yield
from tests.bench.pairs import PairSample
from tests.bench.tables import LedgerFigures, lines_of

UPSTREAM, PASSTHROUGH, FAREBOX = "upstream", "passthrough", "farebox"
MAX_RATIO_CALL = 1.6
MAX_RATIO_EVENT = 1.3
JUDGED_CONNECTIONS = 64
LONG_STREAM_EVENTS = 100
"""Shorter streams are there for their first event; their calls would weigh too much on each event."""


class Scenario(msgspec.Struct, frozen=True):
    """What callers do: `connections` at once for `seconds`, with streams of `events` or whole answers."""

    connections: int
    seconds: float
    events: int | None = None


class Sample(msgspec.Struct, frozen=True):
    """One load on one subject. `cpu_seconds` is the time of the subject's process alone."""

    subject: str
    scenario: Scenario
    round: int
    cpu_seconds: float
    outcome: Yield

    @property
    def cpu_us_per_call(self) -> float:
        """Processor time for each call."""
        return self.cpu_seconds * 1e6 / self.outcome.calls

    @property
    def cpu_us_per_event(self) -> float:
        """Processor time for each event that the upstream sent, what its call costs included."""
        return self.cpu_us_per_call / self.upstream_events

    @property
    def upstream_events(self) -> int:
        """Events of one call: those asked for, the finish, the usage and the end mark."""
        return (self.scenario.events or 0) + 3

    @property
    def calls_per_second(self) -> float:
        """How many calls were answered."""
        return self.outcome.calls / self.outcome.seconds


class Row(msgspec.Struct, frozen=True):
    """One figure of each subject. `compared` is Farebox's over the pass-through's, or minus it."""

    name: str
    unit: str
    upstream: float | None
    passthrough: float
    farebox: float
    compared: float
    comparison: str
    at_most: float | None = None


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured. `load_average` is of the minute before: on a busy machine waits grow."""

    cpu: str
    cores: int
    kernel: str
    python: str
    libraries: dict[str, str]
    filesystem: str
    load_average: float


class Http(msgspec.Struct, frozen=True):
    """Farebox beside its upstream and the pass-through, and its SQLite ledger `alone`, by calls in flight."""

    rounds: int
    rows: list[Row]
    books: Books
    expected: Books
    samples: list[Sample]
    alone: list[PairSample] = []

    @property
    def adds_up(self) -> bool:
        """Whether the callers were charged what they should have been, and nothing is left open."""
        return self.books == self.expected


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured in one run, and written to the file; what was not asked for is None."""

    machine: Machine
    http: Http | None = None
    ledger: LedgerFigures | None = None
    attacks: AttackFigures | None = None
    families: FamilyFigures | None = None

    @property
    def adds_up(self) -> bool:
        """Whether all books do, and attackers were held within their bounds."""
        parts = (self.http, self.ledger, self.attacks, self.families)
        return all(part is None or part.adds_up for part in parts)


def machine_of(folder: Path) -> Machine:
    """This machine; `folder` is where the databases are."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: version(name) for name in ("aiohttp", "uvloop", "msgspec")}
        | {"sqlite": sqlite3.sqlite_version},
        filesystem=_filesystem(folder.resolve()),
        load_average=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _filesystem(folder: Path) -> str:
    """The type of the file system that `folder` is on: the longest mount point that is part of its path."""
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """The figures of all scenarios, in the order in which they were first measured."""
    rows: list[Row] = []
    for scenario in dict.fromkeys(sample.scenario for sample in samples):
        here = [sample for sample in samples if sample.scenario == scenario]
        rows += _whole_rows(scenario, here) if scenario.events is None else _stream_rows(scenario, here)
    return rows


def _whole_rows(scenario: Scenario, samples: Sequence[Sample]) -> Iterable[Row]:
    at = f"{scenario.connections} at once"
    if scenario.connections > 1:
        limit = MAX_RATIO_CALL if scenario.connections == JUDGED_CONNECTIONS else None
        yield _ratio(f"{at}: CPU per call", "us", samples, "cpu_us_per_call", limit)
        yield _ratio(f"{at}: calls a second", "", samples, "calls_per_second")
    yield _added(f"{at}: p50", samples, "outcome.total.p50_us")
    yield _added(f"{at}: p99", samples, "outcome.total.p99_us")


def _stream_rows(scenario: Scenario, samples: Sequence[Sample]) -> Iterable[Row]:
    at = f"{scenario.connections} stream{'s' if scenario.connections > 1 else ''}"
    if (scenario.events or 0) >= LONG_STREAM_EVENTS:
        yield _ratio(f"{at}: CPU per event", "us", samples, "cpu_us_per_event", MAX_RATIO_EVENT)
        return
    yield _added(f"{at}: first event p50", samples, "outcome.first.p50_us")
    yield _added(f"{at}: first event p99", samples, "outcome.first.p99_us")


def _ratio(name: str, unit: str, samples: Sequence[Sample], figure: str, at_most: float | None = None) -> Row:
    """A row whose comparison is the median of the rounds' own ratios, as neighbours in time compare best."""
    by_round = _by_round(samples, figure)
    ratio = median(each[FAREBOX] / each[PASSTHROUGH] for each in by_round)
    return Row(name, unit, *_medians(by_round), ratio, "times", at_most)


def _added(name: str, samples: Sequence[Sample], figure: str) -> Row:
    by_round = _by_round(samples, figure)
    added = median(each[FAREBOX] - each[PASSTHROUGH] for each in by_round)
    return Row(name, "us", *_medians(by_round), added, "added")


def _by_round(samples: Sequence[Sample], figure: str) -> list[dict[str, float]]:
    """One figure by subject, for each round."""
    rounds: dict[int, dict[str, float]] = {}
    for sample in samples:
        value: object = sample
        for name in figure.split("."):
            value = getattr(value, name)
        assert isinstance(value, int | float)
        rounds.setdefault(sample.round, {})[sample.subject] = value
    return list(rounds.values())


def _medians(by_round: Sequence[dict[str, float]]) -> tuple[float | None, float, float]:
    direct = [each[UPSTREAM] for each in by_round if UPSTREAM in each]
    return (
        median(direct) if direct else None,
        median(each[PASSTHROUGH] for each in by_round),
        median(each[FAREBOX] for each in by_round),
    )


def write_json(report: Report, file: Path) -> None:
    """Write all of it, indented."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def show(report: Report, console: Console, *, plans: bool = False) -> None:
    """Print what there is, and the machine; `plans` adds how each read was carried out."""
    if report.http is not None:
        _show_http(report.http, console)
    for line in family_lines(report.families) if report.families is not None else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in attack_lines(report.attacks) if report.attacks is not None else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if report.ledger is not None:
        for line in lines_of(report.ledger, plans=plans):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    machine = report.machine
    libraries = ", ".join(f"{name} {number}" for name, number in machine.libraries.items())
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}, {libraries},"
        f" {machine.filesystem}, load average {machine.load_average:.2f}"
    )


def _show_http(http: Http, console: Console) -> None:
    table = Table(title=f"Medians of {http.rounds} rounds")
    table.add_column("", no_wrap=True)
    for column in ("upstream", "pass-through", "Farebox", "compared", "at most"):
        table.add_column(column, justify="right")
    for row in http.rows:
        compared = (
            f"{row.compared:.2f} x" if row.comparison == "times" else f"{row.compared:+,.0f} {row.unit}"
        )
        table.add_row(
            row.name,
            *(_number(value, row.unit) for value in (row.upstream, row.passthrough, row.farebox)),
            compared,
            "" if row.at_most is None else f"{row.at_most} x",
        )
    console.print(table)
    for pairs in http.alone:
        console.print(
            f"ledger alone, {pairs.in_flight} at once: {pairs.pairs_per_second:,.0f} pairs of authorize and"
            f" settle a second, {pairs.commands_per_batch:.1f} commands a batch"
        )
    charged, expected = (usd_string(books.charged_nano) for books in (http.books, http.expected))
    console.print(
        f"the account was charged {charged} USD of {expected}, {http.books.open_holds} holds are open"
    )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
