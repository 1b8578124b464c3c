"""The audit of receipts: each charge is worked out again from its own lines, to the nano-dollar."""

import json
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.ledger.audit.receipts import receipt_faults, usage_of
from proxy.ledger.audit.rows import ReceiptRow
from proxy.metering.usage import METERS
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import NO_CHARGE, Line, price
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step, StepKind
from proxy.storage.columns import text
from tests.pricing.test_charge import usages
from tests.pricing.test_discounts import Multiplier, made, multipliers
from tests.pricing.test_discounts import rates as discount_rates
from tests.pricing.test_stepped import stepped_cards


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    meters = draw(st.lists(st.sampled_from(sorted(METERS)), min_size=1, max_size=6, unique=True))
    prices = st.builds(Fraction, st.integers(0, 10**12), st.sampled_from([1, 2, 8, 1000, 10**9]))
    pers = st.sampled_from([1, 1000, 10**6])
    return RateCard("card", ("*",), tuple(Rate(meter, draw(prices), draw(pers)) for meter in meters))


def receipt(lines: Iterable[Line], total_nano: int, usage: dict[str, int]) -> ReceiptRow:
    quantities, found = json.dumps(usage), text(tuple(lines))
    call: tuple[Any, ...] = ("call", "account", "key", "chat", "model", "main", "model-2024", 0, 5)
    outcome: tuple[Any, ...] = ("complete", 200, "reported", quantities, 9, None, 0)
    charged: tuple[Any, ...] = (total_nano, found, "card@1", total_nano, 0, 0, 20_000)
    rest: tuple[Any, ...] = ("", "[]", "{}", 0, None, "", "")
    return ReceiptRow(*(*call, *outcome, *charged, *rest))


def columns_of(row: ReceiptRow) -> set[str]:
    return {one.column for one in receipt_faults(row, usage_of(row))}


@given(cards(), st.dictionaries(st.sampled_from(sorted(METERS)), st.integers(0, 10**8)))
def test_every_charge_follows_from_its_lines(card: RateCard, usage: dict[str, int]) -> None:
    charge = price(card, usage)
    assert not columns_of(receipt(charge.lines, charge.total_nano, usage))
    for place, line in enumerate(charge.lines):
        more = replace(line, quantity=line.quantity + 10**9)
        lines = (*charge.lines[:place], more, *charge.lines[place + 1 :])
        assert columns_of(receipt(lines, charge.total_nano, usage))


@given(stepped_cards(), usages(), st.data())
def test_every_charge_by_steps_follows_from_its_lines(
    card: RateCard, usage: dict[str, int], data: st.DataObject
) -> None:
    """One that says another amount, or is of calls with more or less input, is named."""
    charge = price(card, usage)
    assert not columns_of(receipt(charge.lines, charge.total_nano, usage))
    if any(line.steps for line in charge.lines):
        place = data.draw(st.integers(0, len(charge.lines) - 1))
        line = charge.lines[place]
        changed = replace(line, amount_nano=line.amount_nano + 2)
        lines = (*charge.lines[:place], changed, *charge.lines[place + 1 :])
        assert f"lines[{place}].amount_nano" in columns_of(receipt(lines, charge.total_nano + 2, usage))


@given(discount_rates(), multipliers(), st.data())
def test_a_discount_that_counts_in_the_place_of_another_is_named(
    own: tuple[Rate, ...], all_of_them: list[Multiplier], data: st.DataObject
) -> None:
    """Whatever its amount: the row says what there was, and the largest of that has to count."""
    usage = {"input_tokens": 900, "output_tokens": 70, "images": 3}
    charge = price(made(own, all_of_them, "largest"), usage)
    assert not columns_of(receipt(charge.lines, charge.total_nano, usage))
    places = [at for at, line in enumerate(charge.lines) if "unused" in {step.kind for step in line.steps}]
    if places:
        place = data.draw(st.sampled_from(places))
        line = charge.lines[place]
        at = data.draw(st.integers(0, len(line.steps) - 1))
        step = line.steps[at]
        other = replace(step, kind="times" if step.kind == "unused" else "unused")
        changed = replace(line, steps=(*line.steps[:at], other, *line.steps[at + 1 :]))
        if any(each.kind == "unused" for each in changed.steps):
            lines = (*charge.lines[:place], changed, *charge.lines[place + 1 :])
            assert f"lines[{place}].steps" in columns_of(receipt(lines, charge.total_nano, usage))


def discounted(amount_nano: int, *steps: tuple[StepKind, str]) -> list[Line]:
    return [Line("images", 3, "2.00", 1, amount_nano, tuple(Step(*each) for each in steps))]


OF_SHORT_CALLS = Line("images", 3, "2.00", 1, 6, (Step("upto", "9"),))
OF_LONG_CALLS = Line("images", 3, "2.00", 1, 6, (Step("above", "10"),))


@pytest.mark.parametrize(
    ("lines", "total_nano", "columns"),
    [
        ([OF_SHORT_CALLS], 6, {"lines[0].steps"}),
        ([OF_LONG_CALLS], 6, {"lines[0].steps"}),
        ([Line("images", 3, "2.00", 1, 20, (Step("block", "10"),))], 20, set()),
        (
            [Line("images", 3, "2.00", 1, 6, (Step("block", "10"),))],
            6,
            {"lines[0].amount_nano", "charge_nano"},
        ),
        ([Line("images", 3, "2.00", 1, 6, (Step("block", "0"),))], 6, {"lines"}),
        ([Line("images", 3, "2.00", 1, 6, (Step("times", "1e9999999"),))], 6, {"lines"}),
        ([Line("images", 3, "2.00", 1, 6, (Step("times", "1/0"),))], 6, {"lines"}),
        ([Line("images", 3, "2.00", 1, 6, (Step("times", "-1"),))], 6, {"lines"}),
        ([Line("images", 3, "2.00", 1, 6), Line("markup", 0, "0", 1, 3, (Step("share", "0.5"),))], 9, set()),
        (
            [Line("images", 3, "2.00", 1, 6), Line("markup", 0, "0", 1, 6, (Step("share", "0.5"),))],
            12,
            {"lines[1].amount_nano", "charge_nano"},
        ),
        ([Line("images", 4, "2.00", 1, 8, (Step("times", "1"),))], 8, {"lines of images"}),
        (discounted(3, ("unused", "0.8"), ("times", "0.5")), 3, set()),
        (discounted(4, ("times", "0.5"), ("unused", "0.5"), ("times", "1.2")), 4, set()),
        (discounted(5, ("times", "0.8"), ("unused", "0.5")), 5, {"lines[0].steps"}),
        (discounted(3, ("unused", "0.5"), ("times", "0.5")), 3, {"lines[0].steps"}),
        (discounted(3, ("unused", "1.2"), ("times", "0.5")), 3, {"lines[0].steps"}),
        (discounted(6, ("unused", "0.5")), 6, {"lines[0].steps"}),
        (discounted(2, ("unused", "0.8"), ("times", "0.5"), ("times", "0.7")), 2, {"lines[0].steps"}),
        (discounted(3, ("unused", "0.6"), ("times", "0.6")), 3, {"lines[0].steps", "charge_nano"}),
    ],
)
def test_steps_that_do_not_come_to_an_amount_are_named(
    lines: list[Line], total_nano: int, columns: set[str]
) -> None:
    assert columns_of(receipt(lines, total_nano, {"images": 3, "input_tokens": 10})) == columns


@pytest.mark.parametrize(
    ("line", "total_nano", "column"),
    [
        (Line("images", 3, "1e9", 1, 6), 6, "lines[0]"),
        (Line("images", 3, "-2", 1, -6), -6, "lines[0]"),
        (Line("images", 3, "2.00", 0, 6), 6, "lines[0]"),
        (Line("images", -3, "2.00", 1, -6), -6, "lines[0]"),
        (Line("images", 3, "2.00", 1, 7), 7, "lines[0].amount_nano"),
        (Line("images", 3, "2.00", 1, 7), 7, "charge_nano"),
        (Line("images", 4, "2.00", 1, 8), 8, "lines of images"),
        (Line("images", 3, "2.00", 1, 6), 7, "charge_nano"),
        (Line("images", 3, "2.00", 1, 6), 7, "sum of lines"),
    ],
)
def test_a_line_that_does_not_add_up_is_named(line: Line, total_nano: int, column: str) -> None:
    assert column in columns_of(receipt([line], total_nano, {"images": 3}))


def test_half_a_nano_dollar_is_rounded_to_even() -> None:
    for quantity, total_nano in ((1, 0), (3, 2), (5, 2), (7, 4)):
        line = Line("images", quantity, "0.50", 1, total_nano)
        assert not columns_of(receipt([line], total_nano, {"images": quantity}))


def test_no_charge_at_all_has_no_line() -> None:
    assert not columns_of(receipt(NO_CHARGE.lines, 0, {}))
