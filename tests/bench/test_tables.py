"""The tables of the ledger show the best rounds, and compare what was measured at the same time."""

from tests.bench.engines import POSTGRES, SQLITE
from tests.bench.farebox import Books
from tests.bench.ledger import Pace
from tests.bench.loads import Spread
from tests.bench.metered import Metered, MeteredSample
from tests.bench.pairs import GrowthSample, PairSample, joined, shares
from tests.bench.reads import Timing
from tests.bench.tables import LedgerFigures, lines_of, round_ratio


def pairs(engine: str, cpu_us: float, pace: float, *, number: int = 0, writers: int = 1) -> PairSample:
    return PairSample(engine, writers, 64, 1_000, number, 10, pace, cpu_us, 0.0, 64.0)


def metered(engine: str, number: int, cpu_us: float) -> MeteredSample:
    return MeteredSample(engine, number, 4_000.0, cpu_us, 0.0, Spread(9_000, 20_000))


def timing(engine: str, p50_ms: float, failed: str = "") -> Timing:
    return Timing(engine, "one day", "usage_by_day", 7, p50_ms, 2 * p50_ms, ["SEARCH usage"], failed)


CALLS = [
    *(metered(SQLITE, number, cpu_us) for number, cpu_us in enumerate((100.0, 200.0, 100.0))),
    *(metered(POSTGRES, number, cpu_us) for number, cpu_us in enumerate((120.0, 220.0, 150.0))),
]
BOOKS = {SQLITE: Books(5, 0), POSTGRES: Books(5, 0)}
FIGURES = LedgerFigures(
    rows=10_000_000,
    pairs=[
        pairs(SQLITE, 50.0, 9_000.0),
        pairs(SQLITE, 40.0, 8_000.0, number=1),
        pairs(SQLITE, 70.0, 5_000.0, writers=2),
    ],
    metered=Metered(CALLS, BOOKS, BOOKS),
    reads=[timing(SQLITE, 3.0), timing(POSTGRES, 250.0)],
    growth=[
        GrowthSample(
            {
                0: pairs(SQLITE, cpu_us, 800.0, number=number),
                1_000: pairs(SQLITE, 50.0, 1_000.0, number=number),
                9_000: pairs(SQLITE, 60.0, 900.0, number=number),
            }
        )
        for number, cpu_us in enumerate((50.0, 40.0, 30.0))
    ],
    disk_bytes={SQLITE: 9_800_000_000},
)


def test_the_best_rounds_are_shown() -> None:
    """Most pairs a second of any round, and least processor time, each for itself."""
    lines = list(lines_of(FIGURES))
    assert "| SQLite | 1,000 | 64 | 9,000 | 5,000 | 40 us | - |" in lines
    assert "SQLite takes 9.8 GB of the disk for 10,000,000 calls." in lines


def test_a_round_is_compared_with_itself() -> None:
    """1.2, 1.1 and 1.5 make 1.2, whatever the medians of both sides are."""
    base, other = CALLS[:3], CALLS[3:]
    assert round(round_ratio(base, other, "cpu_us"), 9) == 1.2
    assert "| CPU of Farebox for each call | 100 us | 150 us | 1.20 x | 1.3 x |" in lines_of(FIGURES)


def test_a_ledger_that_grew_is_compared_with_each_that_did_not() -> None:
    """Round by round: the last one's figure to that of the one with nothing, and of the one with little."""
    lines = list(lines_of(FIGURES))
    assert "|  | accounts | figure | 0 | 1,000 | 9,000 | 9,000 to 0 | 9,000 to 1,000 |" in lines
    assert "| SQLite | 1,000 | CPU for each pair | 40 us | 50 us | 60 us | 1.50 x | 1.20 x |" in lines
    assert "| SQLite | 1,000 | pairs a second | 800 | 1,000 | 900 | 1.12 x | 0.90 x |" in lines


def test_a_read_above_the_limit_stands_out() -> None:
    """So does one that did not come to its end."""
    assert "| one day | 7 | 3.0 / 6.0 ms | **250 / 500 ms** |" in lines_of(FIGURES)
    late = LedgerFigures(1, reads=[timing(POSTGRES, 10_000.0, "it took too long")])
    assert "| one day | 7 | **none after 20 s** |" in lines_of(late)


def test_plans_are_told_when_asked_for() -> None:
    """Line by line, for each engine."""
    assert "    SEARCH usage" in lines_of(FIGURES, plans=True)
    assert "    SEARCH usage" not in lines_of(FIGURES)


def test_writers_side_by_side_are_one_sample() -> None:
    """Their pairs and their time add up; each has a pace of its own."""
    paces = [Pace(100, 1.0, 0.5, 20), Pace(300, 2.0, 0.7, 20)]
    sample = joined(paces, SQLITE, 16, 1, 0, 0.4)
    assert (sample.writers, sample.pairs, sample.pairs_per_second) == (2, 400, 250.0)
    assert (round(sample.cpu_us), round(sample.server_cpu_us)) == (3_000, 1_000)
    assert sample.commands_per_batch == 20.0


def test_calls_in_flight_are_shared_out() -> None:
    """No writer has two more than another."""
    assert shares(16, 4) == [4, 4, 4, 4]
    assert shares(17, 4) == [5, 4, 4, 4]
