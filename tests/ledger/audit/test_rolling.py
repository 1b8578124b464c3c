"""The audit of allowances that roll over: what a period has is what those before have left."""

from collections.abc import Callable
from fractions import Fraction

import msgspec
import pytest
from msgspec.structs import replace

from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.counters import AccountCounters
from proxy.ledger.audit.rows import ReceiptRow
from proxy.ledger.rows import Counter
from proxy.ledger.windows import starts_of_day
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Line, price
from proxy.pricing.counting import counted
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from proxy.pricing.tiers import Count, CounterKey, Tier, Tiers
from proxy.storage.codecs import row_of
from proxy.storage.columns import text
from tests.ledger.audit.test_receipts import receipt

TIERS = Tiers("all", "day", (Tier(10, "0"), Tier(0, "5")), rolls=15)
CARD = RateCard("card", (), (Rate("images", Fraction(5), 1, (), TIERS),))
USED = {20_000: 4, 20_001: 20, 20_004: 31}


def history() -> tuple[list[ReceiptRow], CounterRow]:
    """Receipts of three days, and the counter after them."""
    counts: dict[CounterKey, Count] = {}
    rows = []
    for day, units in USED.items():
        charge, counts = counted(price(CARD, {"images": units}), counts, dict(starts_of_day(day)))
        rows.append(replace(receipt(charge.lines, charge.total_nano, {"images": units}), day=day))
    ((name, window, first), count) = next(iter(counts.items()))
    counter = Counter("account", name, window, first, count.quantity, count.volume)
    return rows, CounterRow(*row_of(counter))  # type: ignore[arg-type]


def columns(rows: list[ReceiptRow], counter: CounterRow) -> list[str]:
    """What an audit finds of them, by column."""
    audit = AccountCounters("account", receipts_since_day=0)
    found = [one.column for row in rows for one in audit.add_receipt(row)]
    return [*found, *(one.column for one in audit.faults([counter], 0))]


def with_steps(row: ReceiptRow, change: Callable[[Step], Step]) -> ReceiptRow:
    """A receipt with steps of its lines changed."""
    lines = msgspec.json.decode(row.lines, type=tuple[Line, ...])
    changed = (replace(line, steps=tuple(change(step) for step in line.steps)) for line in lines)
    return replace(row, lines=text(tuple(changed)))


def moved(kind: str, by: int) -> Callable[[Step], Step]:
    """What changes the value of a step by so much."""
    return lambda step: replace(step, value=str(int(step.value) + by)) if step.kind == kind else step


def test_what_follows_is_in_order() -> None:
    """6 are left of the first day's 10, and 15 at most of the two days without calls."""
    rows, counter = history()
    assert columns(rows, counter) == []
    assert [row.charge_nano for row in rows] == [0, 20, 30]


def both(first: Callable[[Step], Step], second: Callable[[Step], Step]) -> Callable[[Step], Step]:
    return lambda step: second(first(step))


@pytest.mark.parametrize(
    "change",
    [
        *(moved(kind, by) for kind in ("since", "rolled") for by in (-1, 1)),
        both(moved("rolled", 1), both(moved("until", 1), moved("tier", 1))),
        lambda step: replace(step, name="day 20002") if step.kind == "since" else step,
        lambda step: replace(step, name="20001") if step.kind == "since" else step,
        lambda step: replace(step, name="week 20001") if step.kind == "since" else step,
    ],
)
def test_a_period_that_has_more_or_less_than_was_left_is_found(change: Callable[[Step], Step]) -> None:
    rows, counter = history()
    changed = with_steps(rows[1], change)
    assert changed != rows[1]
    assert columns([rows[0], changed, rows[2]], counter)
