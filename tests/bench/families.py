"""What a call of each API family costs beside the bare pass-through: processor time of the process alone."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from rich.console import Console

from proxy.money import usd_string
from tests.bench import processes
from tests.bench.canned import FAMILIES
from tests.bench.farebox import Books, Till, farebox
from tests.bench.loads import Load
from tests.bench.processes import Server

EVENT_MS: Final = 10
WARM_UP_SECONDS: Final = 0.5
FAREBOX, PASSTHROUGH = "farebox", "passthrough"


class FamilySample(msgspec.Struct, frozen=True):
    """One load on one subject. `cpu_us` is of its process, for each of the `calls`."""

    family: str
    subject: str
    round: int
    calls: int
    cpu_us: float


class FamilyFigures(msgspec.Struct, frozen=True):
    """All samples, and what the callers of Farebox were charged beside what they should have been."""

    samples: list[FamilySample]
    books: Books
    expected: Books

    @property
    def adds_up(self) -> bool:
        """Whether each call was charged the price of its family, and nothing is left open."""
        return self.books == self.expected


def families(rounds: int, seconds: float, folder: Path, console: Console) -> FamilyFigures:
    """Load both with each family in turn, round by round, so that all see the same weather."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(processes.canned_upstream(folder, EVENT_MS))
        passthrough = stack.enter_context(processes.bare_passthrough(folder, upstream.port))
        till = stack.enter_context(farebox(folder, upstream.port))
        warm = list(_round(passthrough, till, 0, WARM_UP_SECONDS))
        samples: list[FamilySample] = []
        for number in range(rounds):
            samples += _round(passthrough, till, number, seconds)
            console.print(f"round {number + 1} of {rounds} of the families is done")
        return FamilyFigures(samples, till.books(), Books(_owed_nano(warm + samples), 0))


def _round(passthrough: Server, till: Till, number: int, seconds: float) -> Iterator[FamilySample]:
    for family in FAMILIES:
        for subject, server in ((PASSTHROUGH, passthrough), (FAREBOX, till.server)):
            before_seconds = server.cpu_seconds()
            load = Load(server.port, server.key, family.connections, seconds, family=family.name)
            calls = processes.load_from_outside(load).calls
            cpu_us = 1e6 * (server.cpu_seconds() - before_seconds) / calls
            yield FamilySample(family.name, subject, number, calls, cpu_us)


def _owed_nano(samples: Sequence[FamilySample]) -> int:
    prices_nano = {family.name: family.price_nano for family in FAMILIES}
    return sum(sample.calls * prices_nano[sample.family] for sample in samples if sample.subject == FAREBOX)


def family_lines(figures: FamilyFigures) -> Iterator[str]:
    """A table, in Markdown: medians, and the median of the rounds' own ratios."""
    yield "| a call | pass-through | Farebox | added | compared | calls |"
    yield "|---|---|---|---|---|---|"
    for family in FAMILIES:
        here = [sample for sample in figures.samples if sample.family == family.name]
        bare_us, our_us = (
            [each.cpu_us for each in here if each.subject == name] for name in (PASSTHROUGH, FAREBOX)
        )
        ratio = median(ours / bare for bare, ours in zip(bare_us, our_us, strict=True))
        added_us = median(our_us) - median(bare_us)
        calls = sum(each.calls for each in here if each.subject == FAREBOX)
        yield (
            f"| {family.name} | {median(bare_us):,.0f} us | {median(our_us):,.0f} us | {added_us:+,.0f} us"
            f" | {ratio:.2f} x | {calls:,} |"
        )
    charged, expected = (usd_string(books.charged_nano) for books in (figures.books, figures.expected))
    yield f"the account was charged {charged} USD of {expected}, {figures.books.open_holds} holds are open"
