"""Medians and ratios are taken round by round, so that a slow minute is compared with itself."""

import io
from pathlib import Path

import msgspec
from rich.console import Console

from tests.bench.engines import SQLITE
from tests.bench.farebox import Books
from tests.bench.loads import Spread, Yield, spread
from tests.bench.metered import Metered
from tests.bench.pairs import PairSample
from tests.bench.report import (
    FAREBOX,
    MAX_RATIO_CALL,
    MAX_RATIO_EVENT,
    PASSTHROUGH,
    UPSTREAM,
    Http,
    Report,
    Sample,
    Scenario,
    machine_of,
    rows_of,
    show,
    write_json,
)
from tests.bench.tables import LedgerFigures, lines_of
from tests.bench.test_tables import FIGURES

WHOLE = Scenario(64, 1.0)
LONG = Scenario(64, 1.0, 197)


def sample(subject: str, scenario: Scenario, number: int, cpu_seconds: float, p50_us: int = 0) -> Sample:
    outcome = Yield(1_000, 0, 2.0, Spread(p50_us, 10 * p50_us), Spread(p50_us, p50_us))
    return Sample(subject, scenario, number, cpu_seconds, outcome)


SAMPLES = [
    *(sample(UPSTREAM, WHOLE, number, 0.01, 5) for number in range(3)),
    *(sample(PASSTHROUGH, WHOLE, number, seconds, 10) for number, seconds in enumerate((0.1, 0.2, 0.1))),
    *(sample(FAREBOX, WHOLE, number, seconds, 30) for number, seconds in enumerate((0.15, 0.4, 0.13))),
    sample(PASSTHROUGH, LONG, 0, 4.0),
    sample(FAREBOX, LONG, 0, 5.0),
]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """1.5, 2.0 and 1.3 make 1.5, whatever the medians of both sides are."""
    cpu = rows_of(SAMPLES)[0]
    assert (cpu.upstream, cpu.passthrough, cpu.farebox) == (10, 100, 150)
    assert round(cpu.compared, 9) == 1.5
    assert cpu.at_most == MAX_RATIO_CALL


def test_a_wait_is_compared_by_what_is_added() -> None:
    """Times waited are subtracted."""
    rows = {row.name: row for row in rows_of(SAMPLES)}
    assert rows["64 at once: p50"].compared == 20
    assert rows["64 at once: p99"].compared == 200
    assert rows["64 at once: calls a second"].farebox == 500


def test_an_event_costs_its_share_of_the_call() -> None:
    """Events are those the upstream sent: 197, and the three that end a stream."""
    event = rows_of(SAMPLES)[-1]
    assert (event.upstream, event.passthrough, event.farebox) == (None, 20, 25)
    assert (event.compared, event.at_most) == (1.25, MAX_RATIO_EVENT)


def test_percentiles_are_of_the_samples() -> None:
    """Neither is between two samples, nor beyond the last."""
    assert spread([7]) == Spread(7, 7)
    assert spread(list(range(100, 0, -1))) == Spread(51, 100)


def test_a_report_is_shown_and_written_whole(tmp_path: Path) -> None:
    """The file reads back as what was written, and the table has every row."""
    books = Books(1_000_000_000, 0)
    alone = PairSample(SQLITE, 1, 16, 1, 0, 50_000, 12_296.4, 60.0, 0.0, 15.9)
    http = Http(3, rows_of(SAMPLES), books, books, SAMPLES, [alone])
    report = Report(machine_of(tmp_path), http, FIGURES)
    write_json(report, tmp_path / "bench.json")
    assert msgspec.json.decode((tmp_path / "bench.json").read_bytes(), type=Report) == report
    shown = io.StringIO()
    show(report, Console(file=shown, width=120), plans=True)
    for text in (*(row.name for row in http.rows), "1.50 x", "1.6 x", report.machine.cpu, *lines_of(FIGURES)):
        assert text in shown.getvalue()
    assert "SEARCH usage" in shown.getvalue()
    assert "ledger alone, 16 at once: 12,296 pairs" in shown.getvalue()


def test_books_that_do_not_add_up_are_told() -> None:
    """Of each part that has books."""
    machine, right, wrong = machine_of(Path()), Books(1, 0), Books(1, 1)
    assert Report(machine, Http(1, [], right, right, []), FIGURES).adds_up
    assert not Report(machine, Http(1, [], wrong, right, []), FIGURES).adds_up
    metered = Metered([], {SQLITE: wrong}, {SQLITE: right})
    assert not Report(machine, None, LedgerFigures(0, metered=metered)).adds_up
