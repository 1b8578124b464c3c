"""Discounts that do not add up: the largest counts alone, and the receipt names it and the others."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from math import prod
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.config.rates import case_rates
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.charge import Charge, affordable, price, worst_nano
from proxy.pricing.listed import card_of
from proxy.pricing.multipliers import Flag, TierTerms
from proxy.pricing.rates import Adjustment, Discounts, Rate, Term
from proxy.pricing.steps import Step, exact_amounts, largest_alone
from tests.pricing.test_charge import PRICES
from tests.pricing.test_stepped import used_by_rate

METERS_USED: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "images")
TEXTS: Final = ("0", "0.2", "0.5", "0.50", "0.8", "0.999999", "1", "1.1", "2", "1.5")
SPARES: Final = st.lists(st.sampled_from(METERS_USED), unique=True, max_size=2).map(tuple)
Multiplier = tuple[str, str, tuple[str, ...]]
"""Its name on a receipt, its value, and the meters whose rates it leaves as they are."""


@st.composite
def multipliers(draw: st.DrawFn) -> list[Multiplier]:
    """Any of all that there are, in their order."""
    kinds = ["flag sharp", "flag wide", "hours night", "group half", "own key"]
    kinds += ["service tier batch", "service tier geo"]
    found = []
    for name in kinds:
        if draw(st.booleans()):
            spares = () if name.startswith(("group", "own")) else draw(SPARES)
            found.append((name, draw(st.sampled_from(TEXTS)), spares))
    return found


@st.composite
def rates(draw: st.DrawFn) -> tuple[Rate, ...]:
    meters = draw(st.lists(st.sampled_from(METERS_USED), unique=True, min_size=1))
    return tuple(Rate(meter, draw(PRICES), draw(st.sampled_from([1, 60, 10**6]))) for meter in meters)


def whole(usage: dict[str, int]) -> dict[str, int]:
    """A usage in which what came from a cache is a part of the input."""
    cached = usage.get("cached_input_tokens", 0)
    return {**usage, "input_tokens": usage.get("input_tokens", 0) + cached}


USAGES: Final = st.dictionaries(st.sampled_from(METERS_USED), st.integers(0, 10**7)).map(whole)


def made(own: tuple[Rate, ...], all_of_them: Sequence[Multiplier], discounts: Discounts) -> RateCard:
    """A card that has all these multipliers, as a configuration makes it."""
    of_tiers = [each for each in all_of_them if each[0].startswith("service tier")]
    card = RateCard(
        "card",
        (),
        own,
        service_tiers=tuple((name.split()[-1], Fraction(text)) for name, text, _ in of_tiers),
        tier_terms=tuple(
            TierTerms(name.split()[-1], spares, (), stacks=True) for name, _, spares in of_tiers
        ),
        discounts=discounts,
    )
    flags = tuple(
        Flag(name.removeprefix("flag "), text, spares)
        for name, text, spares in all_of_them
        if name.startswith("flag")
    )
    card = replace(card, rates=case_rates(own, Case((), card, (), flags)))
    for name, text, spares in all_of_them:
        of, _, whose = name.partition(" ")
        if of in {"hours", "group", "own"}:
            card = card.multiplied(text, whose, of, spares)
    return card.by_tier["+".join(name.split()[-1] for name, _, _ in of_tiers)] if of_tiers else card


def by_hand(
    own: tuple[Rate, ...], all_of_them: Sequence[Multiplier], discounts: Discounts, usage: Mapping[str, int]
) -> Fraction:
    """The charge by the words of the README, by no code of the product's."""
    total = Fraction(0)
    for rate, used in zip(own, used_by_rate([*own], {**usage}), strict=True):
        values = [Fraction(text) for _, text, spares in all_of_them if rate.meter not in spares]
        below = sorted(value for value in values if value < 1)
        above = [value for value in values if value >= 1]
        counted = below[:1] if discounts == "largest" else below
        total += used * rate.price / rate.per * prod([*counted, *above])
    return total


@given(rates(), multipliers(), st.sampled_from(["multiply", "largest"]), USAGES)
def test_a_charge_is_what_the_rule_comes_to_by_hand(
    own: tuple[Rate, ...], all_of_them: list[Multiplier], discounts: Discounts, usage: dict[str, int]
) -> None:
    """Rounded once; its ceiling covers it, and nothing of it is lost in a row."""
    card = made(own, all_of_them, discounts)
    charge = price(card, usage)
    assert charge.total_nano == round(by_hand(own, all_of_them, discounts, usage)) <= worst_nano(card, usage)
    kept = msgspec.json.decode(msgspec.json.encode(charge), type=Charge)
    assert round(sum(exact_amounts(kept.lines), Fraction(0))) == charge.total_nano
    listed = msgspec.json.decode(msgspec.json.encode(card.listed), type=tuple[Term, ...])
    assert price(card_of(card.price_id, listed), usage) == charge
    assert card.is_linear


@given(rates(), multipliers(), USAGES)
def test_the_receipt_names_the_one_that_counts_and_those_that_do_not(
    own: tuple[Rate, ...], all_of_them: list[Multiplier], usage: dict[str, int]
) -> None:
    """All of them in their order; what makes dearer always counts, and of equal discounts the first."""
    for line in price(made(own, all_of_them, "largest"), usage).lines:
        here = [(name, Fraction(text)) for name, text, spares in all_of_them if line.meter not in spares]
        assert [(step.name, step.number) for step in line.steps] == here
        lowest = min((value for _, value in here if value < 1), default=None)
        counts = next((name for name, value in here if value == lowest), None)
        for step in line.steps:
            assert (step.kind == "times") == (step.number >= 1 or step.name == counts)


@given(rates(), multipliers(), USAGES)
def test_it_never_costs_less_than_where_all_multiply(
    own: tuple[Rate, ...], all_of_them: list[Multiplier], usage: dict[str, int]
) -> None:
    """And as much, to the last digit of the receipt, where there is one discount or none."""
    alone, together = (price(made(own, all_of_them, each), usage) for each in ("largest", "multiply"))
    assert alone.total_nano >= together.total_nano
    if sum(Fraction(text) < 1 for _, text, _ in all_of_them) <= 1:
        assert alone == together


@given(st.lists(st.sampled_from(TEXTS), max_size=5))
def test_no_order_and_no_way_there_makes_a_difference(texts: list[str]) -> None:
    """One after the other, as groups and hours are added, or all at once."""
    rate = Rate("images", Fraction(10**9), 1)
    prices = set()
    for order in permutations(texts):
        one_by_one = rate
        for text in order:
            one_by_one = one_by_one.multiplied(text, "group", "largest")
        steps = tuple(Step("times", text, "group") for text in order)
        assert one_by_one.steps == largest_alone(steps) == largest_alone(largest_alone(steps))
        prices.add(one_by_one.unit_nano)
    assert len(prices) == 1


@given(rates(), multipliers(), st.integers(0, 10**12), st.integers(0, 10**6))
def test_what_is_affordable_fits_and_one_more_would_not(
    own: tuple[Rate, ...], all_of_them: list[Multiplier], funds_nano: int, inputs: int
) -> None:
    card = made(own, all_of_them, "largest")
    ceiling = {"input_tokens": inputs, "output_tokens": 10**6}
    units = affordable(card, funds_nano, ceiling, "output_tokens")
    assert not units or worst_nano(card, {**ceiling, "output_tokens": units}) <= funds_nano
    if card.worst_weights.get("output_tokens"):
        assert worst_nano(card, {**ceiling, "output_tokens": units + 1}) > funds_nano


TOKENS: Final = Rate("input_tokens", Fraction(1_000), 1)
CACHED: Final = Rate("cached_input_tokens", Fraction(500), 1)
NIGHT: Final = ("hours night", "0.8", ())
HALF: Final = ("group half", "0.5", ())
BATCH: Final = ("service tier batch", "0.5", ("cached_input_tokens",))
GEO: Final = ("service tier geo", "1.1", ())


@pytest.mark.parametrize(
    ("all_of_them", "total_nano", "kinds"),
    [
        ([NIGHT], 800, ["times"]),
        ([NIGHT, HALF], 500, ["unused", "times"]),
        ([HALF, BATCH], 500, ["times", "unused"]),
        ([NIGHT, HALF, BATCH, GEO], 550, ["unused", "times", "unused", "times"]),
        ([NIGHT, ("group half", "1.2", ()), GEO], 1_056, ["times", "times", "times"]),
        ([("hours night", "0.999", ()), ("own key", "0.05", ())], 50, ["unused", "times"]),
        ([("group half", "0", ()), GEO], 0, ["times", "times"]),
    ],
)
def test_each_way_they_meet_has_an_example(
    all_of_them: list[Multiplier], total_nano: int, kinds: list[str]
) -> None:
    charge = price(made((TOKENS,), all_of_them, "largest"), {"input_tokens": 1})
    assert charge.total_nano == total_nano
    assert [step.kind for step in charge.lines[0].steps] == kinds


def test_each_rate_has_its_own_largest_discount() -> None:
    """A service tier that spares what is cached leaves the hours to it."""
    charge = price(
        made((TOKENS, CACHED), [NIGHT, BATCH], "largest"), {"input_tokens": 10, "cached_input_tokens": 4}
    )
    assert [(line.meter, line.amount_nano) for line in charge.lines] == [
        ("input_tokens", 3_000),
        ("cached_input_tokens", 1_600),
    ]
    assert [[step.name for step in line.steps if step.kind == "times"] for line in charge.lines] == [
        ["service tier batch"],
        ["hours night"],
    ]


def test_a_markup_is_on_what_the_largest_discount_leaves() -> None:
    marked = replace(
        made((TOKENS,), [NIGHT, HALF], "largest"), adjustments=(Adjustment("markup", Step("share", "0.1")),)
    )
    assert price(marked, {"input_tokens": 10}).total_nano == 5_500


def test_which_discounts_do_not_count_is_a_part_of_the_version() -> None:
    """The price is another one where one of them ends."""
    versions: set[Any] = {
        made((TOKENS,), all_of_them, discounts).version
        for all_of_them in ([HALF], [NIGHT, HALF])
        for discounts in ("largest", "multiply")
    }
    assert len(versions) == 3
