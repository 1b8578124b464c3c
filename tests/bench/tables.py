"""What was measured of the ledger and its databases, as tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from operator import truediv
from statistics import median
from typing import Final

import msgspec

from tests.bench.engines import POSTGRES, SQLITE
from tests.bench.metered import Metered, MeteredSample
from tests.bench.pairs import GrowthSample, PairSample
from tests.bench.reads import Timing

MAX_RATIO_METERED: Final = 1.3
MAX_READ_MS: Final = 200.0
ENGINES: Final = (SQLITE, POSTGRES)


class LedgerFigures(msgspec.Struct, frozen=True):
    """All figures of the ledger; parts not asked for are empty. `disk_bytes` is of `rows` calls."""

    rows: int
    pairs: list[PairSample] = []
    metered: Metered | None = None
    reads: list[Timing] = []
    growth: list[GrowthSample] = []
    disk_bytes: dict[str, int] = {}

    @property
    def adds_up(self) -> bool:
        """Whether the callers were charged what they should have been, and nothing is left open."""
        return self.metered is None or self.metered.books == self.metered.expected


def lines_of(figures: LedgerFigures, *, plans: bool = False) -> Iterator[str]:
    """The lines of all tables there are something for, each table with a line that says what it shows."""
    if figures.pairs:
        yield from pair_lines(figures.pairs)
    if figures.metered is not None:
        yield from metered_lines(figures.metered)
    if figures.reads:
        yield from read_lines(figures.reads, figures.rows)
    if figures.growth:
        yield from growth_lines(figures.growth)
    for engine, size in figures.disk_bytes.items():
        yield f"{engine} takes {size / 1e9:.1f} GB of the disk for {figures.rows:,} calls."
    if plans:
        yield from plan_lines(figures.reads)


def pair_lines(samples: Sequence[PairSample]) -> Iterator[str]:
    """The best rounds: most pairs a second, and least processor time for each."""
    rounds = max(sample.round for sample in samples) + 1
    writers = sorted({sample.writers for sample in samples})
    yield from ("", f"Pairs of authorize and settle a second, best of {rounds}; CPU is of one writer.", "")
    titles = [f"{count} writer{'s' if count > 1 else ''}" for count in writers]
    yield from _head("", "accounts", "in flight", *titles, "CPU for each pair", "of the server")
    for engine, accounts, in_flight in _places(samples):
        here = [s for s in samples if (s.engine, s.accounts, s.in_flight) == (engine, accounts, in_flight)]
        paces = [[s.pairs_per_second for s in here if s.writers == count] for count in writers]
        one = [s for s in here if s.writers == writers[0]]
        server_us = min((s.server_cpu_us for s in one), default=0.0)
        yield _row(
            engine,
            f"{accounts:,}",
            f"{in_flight}",
            *(f"{max(pace):,.0f}" if pace else "-" for pace in paces),
            f"{min(s.cpu_us for s in one):.0f} us" if one else "-",
            f"{server_us:.0f} us" if server_us else "-",
        )


def metered_lines(metered: Metered) -> Iterator[str]:
    """Medians of all rounds, and the median of the rounds' own ratios."""
    by_engine = {name: [s for s in metered.samples if s.engine == name] for name in ENGINES}
    yield from ("", f"A metered call, everything on, medians of {len(by_engine[SQLITE])} rounds.", "")
    yield from _head("64 at once", *ENGINES, "compared", "at most")
    for title, figure, at_most in (
        ("CPU of Farebox for each call", "cpu_us", f"{MAX_RATIO_METERED} x"),
        ("calls a second", "calls_per_second", ""),
    ):
        values = [median(getattr(s, figure) for s in by_engine[name]) for name in ENGINES]
        unit = " us" if figure == "cpu_us" else ""
        compared = f"{round_ratio(by_engine[SQLITE], by_engine[POSTGRES], figure):.2f} x"
        yield _row(title, *(f"{value:,.0f}{unit}" for value in values), compared, at_most)
    least = [min(s.cpu_us for s in by_engine[name]) for name in ENGINES]
    compared = f"{least[1] / least[0]:.2f} x"
    yield _row("least CPU of any round", *(f"{us:,.0f} us" for us in least), compared, "")
    waits = [median(s.waits.p50_us for s in by_engine[name]) / 1000 for name in ENGINES]
    yield _row("p50", *(f"{ms:.1f} ms" for ms in waits), f"{waits[1] - waits[0]:+.1f} ms", "")


def round_ratio(base: Sequence[MeteredSample], other: Sequence[MeteredSample], figure: str) -> float:
    """The median of what each round of one side is in those of the other at the same time."""
    others = {sample.round: getattr(sample, figure) for sample in other}
    return float(median(others[sample.round] / getattr(sample, figure) for sample in base))


def read_lines(reads: Sequence[Timing], rows: int) -> Iterator[str]:
    """Each read on all engines, those above the limit marked."""
    titles = dict.fromkeys(timing.title for timing in reads)
    found = {(timing.title, timing.engine): timing for timing in reads}
    yield from ("", f"Reads of a ledger with {rows:,} calls: p50 / worst, at most {MAX_READ_MS:.0f} ms.", "")
    yield from _head("", "rows", *ENGINES)
    for title in titles:
        here = [found[title, engine] for engine in ENGINES if (title, engine) in found]
        yield _row(title, f"{here[0].rows:,}", *(_waited(timing) for timing in here))


def _waited(timing: Timing) -> str:
    if timing.failed:
        return f"**none after {timing.worst_ms / 1000:.0f} s**"
    both = f"{_ms(timing.p50_ms)} / {_ms(timing.worst_ms)} ms"
    return f"**{both}**" if timing.p50_ms > MAX_READ_MS else both


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def growth_lines(samples: Sequence[GrowthSample]) -> Iterator[str]:
    """Medians of all rounds, and the medians of the rounds' own ratios of the last ledger to the others."""
    *fewer, most = samples[0].by_rows
    rounds = max(sample.by_rows[most].round for sample in samples) + 1
    yield from ("", f"Pairs on ledgers with so many calls, 64 in flight, medians of {rounds}.", "")
    counts = [f"{rows:,}" for rows in (*fewer, most)]
    compared = [f"{most:,} to {rows:,}" for rows in fewer]
    yield from _head("", "accounts", "figure", *counts, *compared)
    for engine, accounts in dict.fromkeys((s.by_rows[0].engine, s.by_rows[0].accounts) for s in samples):
        here = [
            s.by_rows for s in samples if (s.by_rows[0].engine, s.by_rows[0].accounts) == (engine, accounts)
        ]
        for title, unit, figure in (
            ("CPU for each pair", " us", "cpu_us"),
            ("of the server", " us", "server_cpu_us"),
            ("pairs a second", "", "pairs_per_second"),
        ):
            columns = {rows: [getattr(by_rows[rows], figure) for by_rows in here] for rows in (*fewer, most)}
            if all(columns[most]):
                figures = (f"{median(column):,.0f}{unit}" for column in columns.values())
                ratios = (median(map(truediv, columns[most], columns[rows])) for rows in fewer)
                yield _row(engine, f"{accounts:,}", title, *figures, *(f"{ratio:.2f} x" for ratio in ratios))


def plan_lines(reads: Iterable[Timing]) -> Iterator[str]:
    """How each engine carried out each read."""
    for timing in reads:
        yield from ("", f"{timing.engine}, {timing.title} ({timing.read}):")
        yield from (f"    {step}" for step in timing.plan or [timing.failed])


def _places(samples: Iterable[PairSample]) -> Iterable[tuple[str, int, int]]:
    return dict.fromkeys((sample.engine, sample.accounts, sample.in_flight) for sample in samples)


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
