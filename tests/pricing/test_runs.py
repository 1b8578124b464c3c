"""The markup of a run is a share of what all its calls cost, rounded once on all of them."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, Line, affordable, more_nano, price, worst_nano
from proxy.pricing.counting import counted
from proxy.pricing.listed import card_of
from proxy.pricing.rates import Rate, Term
from proxy.pricing.runs import RunSum, in_run, run_after
from proxy.pricing.steps import Step, exact_amounts
from proxy.pricing.tiers import Count, CounterKey, Period
from tests.pricing.test_charge import usages
from tests.pricing.test_stepped import stepped_cards

FIRST_DAYS: dict[Period, int] = {"day": 9, "week": 8, "month": 7, "total": 0}
CREDIT = 10**9
SHARES = st.sampled_from(["0", "0.2", "0.333333", "0.005", "1.5"])
Counts = dict[CounterKey, Count]


def fixed(nano: int) -> RateCard:
    return RateCard("tool", (), (Rate("requests", Fraction(nano), 1),))


def charged(card: RateCard, usage: dict[str, int], counts: Counts) -> tuple[Charge, Counts]:
    return counted(price(card, usage), counts, FIRST_DAYS)


def test_the_markup_is_added_once_to_the_subtotal() -> None:
    """0.5, 0.1 and 0.2 are 0.8, and with a fifth of that 0.96, however they follow one another."""
    counts, totals = Counts(), []
    for nano in (CREDIT // 2, CREDIT // 10, CREDIT // 5):
        charge, counts = charged(in_run(fixed(nano), "r", "0.2"), {}, counts)
        totals.append(charge.total_nano)
    assert sum(totals) == 960_000_000
    assert run_after(charge) == RunSum("r", 800_000_000, 160_000_000)
    assert charge.lines[-1] == Line(
        *("run_markup", 200_000_000, "0.2", 1, 40_000_000),
        (
            *(Step("window", "0", "total"), Step("counted", "600000000", "/r")),
            Step("carried", "120000000"),
        ),
    )


@given(SHARES, st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_a_run_costs_what_its_subtotal_and_the_rounded_markup_on_that_come_to(
    share: str, costs: list[int]
) -> None:
    """At any moment, however small its calls are."""
    counts, paid, subtotal = Counts(), 0, 0
    for nano in costs:
        charge, counts = charged(in_run(fixed(nano), "r", share), {}, counts)
        paid, subtotal = paid + charge.total_nano, subtotal + nano
        assert paid == subtotal + round(subtotal * Fraction(share))
        assert charge.total_nano == sum(line.amount_nano for line in charge.lines)


@given(stepped_cards(), SHARES, usages(), st.integers(0, 10**9), st.fractions(0, 10**9, max_denominator=1000))
def test_a_call_in_a_run_holds_enough_and_follows_from_its_lines(
    card: RateCard, share: str, usage: dict[str, int], before: int, markup: Fraction
) -> None:
    """By any card, whatever the run has cost before, and as rows keep charge and rates."""
    inside = in_run(card, "r", share)
    count = Count(before, msgspec.structs.replace(Count().volume, weighted=str(markup)))
    open_charge = price(inside, usage)
    kept = msgspec.json.decode(msgspec.json.encode(open_charge), type=Charge)
    charge, _ = charged(inside, usage, {("/r", "total", 0): count})
    assert counted(kept, {("/r", "total", 0): count}, FIRST_DAYS)[0] == charge
    listed = msgspec.json.decode(msgspec.json.encode(inside.listed), type=tuple[Term, ...])
    assert price(card_of(inside.price_id, listed), usage) == open_charge
    plain = price(card, usage).total_nano
    grown = round(markup + plain * Fraction(share)) - round(markup)
    assert charge.total_nano == plain + grown
    assert charge.total_nano <= open_charge.total_nano <= worst_nano(inside, usage)
    exact = list(exact_amounts(charge.lines))
    assert round(sum(exact, Fraction(0))) == charge.total_nano
    assert all(abs(line.amount_nano - part) < 1 for line, part in zip(charge.lines, exact, strict=True))


def test_what_funds_pay_for_has_the_markup_in_it() -> None:
    card = RateCard("m", (), (Rate("output_tokens", Fraction(100), 1),))
    inside, usage = in_run(card, "r", "0.2"), {"output_tokens": 50}
    assert worst_nano(inside, usage) == 50 * 120 + 1
    assert affordable(inside, 3_601, usage, "output_tokens") == 30
    assert more_nano(inside, "output_tokens", 10) >= 1_200


@pytest.mark.parametrize("share", ["0", "0.2"])
def test_what_costs_nothing_has_no_markup_and_is_held_for_with_nothing(share: str) -> None:
    inside = in_run(fixed(0), "r", share)
    assert worst_nano(inside, {}) == 0
    charge, counts = charged(inside, {}, {})
    assert (charge.total_nano, run_after(charge)) == (0, RunSum("r", 0, 0))
    assert counts == {("/r", "total", 0): Count()}


def test_a_call_of_no_run_says_nothing_of_any() -> None:
    assert run_after(price(fixed(5), {})) is None
