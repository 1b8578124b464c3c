"""The parts of the bench that are about the ledger and its databases, on both engines."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from tests.bench.engines import Engine
from tests.bench.history import History
from tests.bench.metered import Metered, metered
from tests.bench.pairs import GrowthSample, PairSample, growth_samples, pair_samples
from tests.bench.reads import Timing, timings
from tests.bench.tables import LedgerFigures

FEW_ROWS: Final = 100_000
"""So many calls that each account has pages of its own already."""
PARTS: Final = ("pairs", "metered", "reads", "growth")


class Extent(msgspec.Struct, frozen=True):
    """How much is measured; `rows` calls are in the ledger that is read, and compared with an empty one."""

    rows: int
    rounds: int
    seconds: float


class Storage:
    """What is measured goes to databases of both engines that are filled for it, and removed after it."""

    def __init__(self, extent: Extent, found: list[Engine], folder: Path, console: Console) -> None:
        self._extent = extent
        self._engines = found
        self._folder = folder
        self._console = console
        self._now_us = time.time_ns() // 1000

    def figures(self, parts: Collection[str]) -> LedgerFigures:
        """The figures of some of `PARTS`."""
        extent = self._extent
        pairs: list[PairSample] = []
        reads: list[Timing] = []
        growth: list[GrowthSample] = []
        disk_bytes: dict[str, int] = {}
        if "pairs" in parts:
            for engine in self._engines:
                pairs += self._pairs(engine)
        found = self._metered() if "metered" in parts else None
        if {"reads", "growth"} & set(parts):
            for engine in self._engines:
                with self._filled(engine, "grown", extent.rows) as grown:
                    disk_bytes[engine.name] = engine.disk_bytes(grown)
                    if "reads" in parts:
                        reads += timings(engine.name, grown, self._history(extent.rows))
                        self._console.print(f"{engine.name}: reads are done")
                    if "growth" in parts:
                        growth += self._growth(engine, grown)
        return LedgerFigures(extent.rows, pairs, found, reads, growth, disk_bytes)

    def _pairs(self, engine: Engine) -> list[PairSample]:
        with self._filled(engine, "pairs", 0) as location:
            extent = self._extent
            samples = list(pair_samples(engine, location, rounds=extent.rounds, seconds=extent.seconds))
        self._console.print(f"{engine.name}: pairs are done")
        return samples

    def _metered(self) -> Metered:
        locations = [engine.new("metered", self._history(0)) for engine in self._engines]
        extent = self._extent
        found = metered(
            self._engines, locations, self._folder, rounds=extent.rounds + 2, seconds=2 * extent.seconds
        )
        for engine, location in zip(self._engines, locations, strict=True):
            engine.drop(location)
        self._console.print("metered calls are done")
        return found

    def _growth(self, engine: Engine, grown: str) -> list[GrowthSample]:
        extent = self._extent
        few_rows = min(FEW_ROWS, extent.rows // 2)
        with self._filled(engine, "empty", 0) as empty, self._filled(engine, "few", few_rows) as few:
            ledgers = {0: empty, few_rows: few, extent.rows: grown}
            rounds, seconds = extent.rounds + 2, extent.seconds
            found = list(growth_samples(engine, ledgers, rounds=rounds, seconds=seconds))
        self._console.print(f"{engine.name}: growth is done")
        return found

    @contextmanager
    def _filled(self, engine: Engine, name: str, rows: int) -> Iterator[str]:
        """A database with the history of so many calls, until the end of the context."""
        began = time.monotonic()
        location = engine.new(name, self._history(rows))
        if rows:
            took_seconds = time.monotonic() - began
            self._console.print(f"{engine.name} has {rows:,} calls after {took_seconds:.0f} s")
        try:
            yield location
        finally:
            engine.drop(location)

    def _history(self, rows: int) -> History:
        return History(rows, self._now_us)
