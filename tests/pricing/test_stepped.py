"""What a rate card can say beyond a price for each unit: each amount follows from the line that shows it."""

from fractions import Fraction
from functools import partial
from hashlib import sha256
from math import ceil
from typing import Final

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.config.prices import PERS
from proxy.metering.usage import METERS
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, Line, affordable, least_charge, more_nano, price, worst_nano
from proxy.pricing.extras import Extra
from proxy.pricing.listed import card_of
from proxy.pricing.rates import Adjustment, Rate, Term
from proxy.pricing.steps import Step, StepKind, exact_amounts
from tests.pricing.test_charge import PRICES, QUANTITIES, WHOLES, usages

QUANTITY_KINDS: tuple[StepKind, ...] = ("less", "least", "block")
SIZES = st.integers(1, 1_000)
RATIOS = st.sampled_from(["0.5", "1.75", "1/3", "0.2", "2"])
LENGTHS = st.lists(st.integers(1, 10**6), max_size=2, unique=True).map(sorted)


@st.composite
def quantity_steps(draw: st.DrawFn) -> tuple[Step, ...]:
    kinds = draw(st.lists(st.sampled_from(QUANTITY_KINDS), unique=True))
    steps = [Step(kind, str(draw(SIZES))) for kind in kinds]
    return (*steps, *(Step("times", draw(RATIOS), "group") for _ in range(draw(st.integers(0, 2)))))


@st.composite
def stepped_cards(draw: st.DrawFn) -> RateCard:
    lengths = draw(LENGTHS)
    spans = [*zip([0, *lengths], [*lengths, 0], strict=True)]
    rates = []
    for meter in draw(st.lists(st.sampled_from(sorted(METERS)), unique=True, min_size=1, max_size=4)):
        by_length = draw(st.booleans())
        for above, upto in spans if by_length else [(0, 0)]:
            where = [*[Step("above", str(above))][: bool(above)], *[Step("upto", str(upto))][: bool(upto)]]
            steps = (*where, *draw(quantity_steps()))
            rates.append(Rate(meter, draw(PRICES), draw(st.sampled_from(list(PERS.values()))), steps))
    if draw(st.booleans()):
        other = draw(st.sampled_from(sorted({*METERS} - {"requests", rates[-1].meter})))
        rates = beside(rates, other, is_free_without=draw(st.booleans()))
    added = [
        Adjustment("markup", Step("share", draw(RATIOS))),
        Adjustment("least_charge", Step("at_least", str(draw(st.integers(0, 10**6))))),
        Adjustment("most_charge", Step("at_most", str(10**6 + draw(st.integers(0, 10**9))))),
    ]
    chosen = tuple(each for each in added if draw(st.booleans()))
    return RateCard("card", (), tuple(rates), adjustments=chosen)


def beside(rates: list[Rate], other: str, *, is_free_without: bool = False) -> list[Rate]:
    """Rates of which those of the last meter charge nothing in calls that use another meter, or in others."""
    free, usual = Step("with", "1", other), Step("without", "1", other)
    if is_free_without:
        free, usual = usual, free
    found = []
    for rate in rates:
        if rate.meter == rates[-1].meter:
            lengths = tuple(step for step in rate.steps if step.kind in {"above", "upto"})
            found.append(replace(rate, price=Fraction(0), steps=(*lengths, free)))
            rate = replace(rate, steps=(*rate.steps, usual))  # noqa: PLW2901 - it takes its place.
        found.append(rate)
    return found


def is_for(rate: Rate, usage: dict[str, int]) -> bool:
    bounds = {step.kind: int(step.value) for step in rate.steps if step.kind in {"above", "upto"}}
    others = ((step.kind, usage.get(step.name, 0)) for step in rate.steps if step.kind in {"with", "without"})
    context = usage.get("input_tokens", 0)
    right = bounds.get("above", -1) < context <= bounds.get("upto", 10**12)
    return right and all((kind == "with") == (used > 0) for kind, used in others)


def used_by_rate(rates: list[Rate], usage: dict[str, int]) -> list[int]:
    """The quantity that each rate is for: parts take from their whole, in the card's order."""
    left = {"requests": 1, **usage}
    used = []
    for rate in sorted(rates, key=lambda rate: METERS[rate.meter].part_of is None):
        whole = METERS[rate.meter].part_of
        taken = (usage if whole else left).get(rate.meter, 0)
        if whole in usage:
            taken = min(taken, left[whole])
            left[whole] -= taken
        used.append((rates.index(rate), taken))
    return [taken for _, taken in sorted(used)]


def brute_rate(rate: Rate, used: int) -> Fraction:
    amount, quantity = rate.price / rate.per, Fraction(used)
    for kind, text, _ in map(msgspec.structs.astuple, rate.steps if used else ()):
        value = Fraction(text)
        if kind == "times":
            amount *= value
        # Nothing is billed at least, or in blocks, of a call that uses no more than is included.
        quantity = quantity and {
            "less": quantity - min(quantity, value),
            "least": max(quantity, value),
            "block": Fraction(ceil(quantity / value)) * value,
        }.get(kind, quantity)
    return amount * quantity


def brute_nano(card: RateCard, usage: dict[str, int]) -> Fraction:
    """The charge by the words of the README, one rate after the other, by no code of the product's."""
    rates = [rate for rate in card.rates if is_for(rate, usage)]
    used = used_by_rate(rates, usage)
    total = sum((brute_rate(*each) for each in zip(rates, used, strict=True)), Fraction(0))
    for each in card.adjustments if usage.get("requests", 1) else ():
        value = Fraction(each.step.value)
        bounded = {"least_charge": max(total, value), "most_charge": min(total, value)}
        total = bounded.get(each.name, total + total * value)
    return total


@given(stepped_cards(), usages())
def test_a_charge_is_the_exact_sum_rounded_once(card: RateCard, usage: dict[str, int]) -> None:
    assert price(card, usage).total_nano == round(brute_nano(card, usage))


@given(stepped_cards(), usages())
def test_a_charge_can_be_recomputed_from_its_lines_as_a_row_keeps_them(
    card: RateCard, usage: dict[str, int]
) -> None:
    """They sum to it, each is next to its exact amount, and none is of more than was used."""
    charge = price(card, usage)
    kept = msgspec.json.decode(msgspec.json.encode(charge), type=Charge)
    assert kept == charge
    exact = list(exact_amounts(kept.lines))
    assert round(sum(exact, Fraction(0))) == charge.total_nano == sum(line.amount_nano for line in kept.lines)
    for line, amount in zip(kept.lines, exact, strict=True):
        assert abs(line.amount_nano - amount) < 1
        assert line.quantity <= usage.get(line.meter, line.meter == "requests")


@given(stepped_cards(), usages())
def test_a_card_is_known_again_from_its_terms_as_a_row_keeps_them(
    card: RateCard, usage: dict[str, int]
) -> None:
    listed = msgspec.json.decode(msgspec.json.encode(card.listed), type=tuple[Term, ...])
    assert price(card_of(card.price_id, listed), usage) == price(card, usage)


@given(stepped_cards(), usages(), st.data())
def test_nothing_within_a_ceiling_costs_more_than_its_worst(
    card: RateCard, ceiling: dict[str, int], data: st.DataObject
) -> None:
    usage = {
        meter: data.draw(st.integers(0, most))
        for meter, most in ceiling.items()
        if METERS[meter].part_of is None
    }
    for name, meter in METERS.items():
        if meter.part_of in usage:
            usage[name] = data.draw(st.integers(0, usage[meter.part_of]))
    assert price(card, usage).total_nano <= worst_nano(card, ceiling)


@given(stepped_cards(), st.sampled_from(WHOLES), QUANTITIES, QUANTITIES)
def test_what_is_held_more_for_a_meter_covers_what_its_charge_grows_by(
    card: RateCard, meter: str, count: int, more: int
) -> None:
    """Of a call that uses some of it already, and whose length is known."""
    assume(meter != "input_tokens" and count)
    usages = [{"input_tokens": 9, meter: count + extra} for extra in (0, more)]
    before, after = (price(card, usage).total_nano for usage in usages)
    assert after - before <= more_nano(card, meter, more) + 1


@given(stepped_cards(), st.integers(0, 10**12), usages(), st.integers(1, 9), st.integers(0, 99))
def test_what_is_affordable_fits_and_one_more_would_not(
    card: RateCard, funds_nano: int, ceiling: dict[str, int], bundle: int, beside: int
) -> None:
    """But for what the ceiling has no more of, which only cards with steps look at."""
    ceiling = {**ceiling, "output_tokens": ceiling.get("output_tokens", 0) + beside}
    units = affordable(card, funds_nano, ceiling, "output_tokens", bundle, beside=beside)
    most = (ceiling["output_tokens"] - beside) // bundle

    def worst_of(count: int) -> int:
        return worst_nano(card, {**ceiling, "output_tokens": count * bundle + beside})

    assert units <= most or card.is_linear
    assert not units or worst_of(units) <= funds_nano
    assert units == most or worst_of(units + 1) > funds_nano


def rate(meter: str, nano: int, per: int = 1, **steps: object) -> Rate:
    return Rate(meter, Fraction(nano), per, tuple(Step(kind, str(value)) for kind, value in steps.items()))  # type: ignore[arg-type]


def card(*rates: Rate, **added: str) -> RateCard:
    names = {"markup": "share", "least_charge": "at_least", "most_charge": "at_most"}
    return RateCard(
        "card",
        (),
        rates,
        adjustments=tuple(Adjustment(name, Step(names[name], value)) for name, value in added.items()),  # type: ignore[arg-type]
    )


LONG = (
    rate("input_tokens", 1_250, 1_000, upto=272_000),
    rate("input_tokens", 2_500, 1_000, above=272_000),
    rate("cached_input_tokens", 125, 1_000),
    rate("output_tokens", 10_000, 1_000),
)

GOLDEN = [
    ("a least quantity", card(rate("audio_seconds", 100, least=10)), {"audio_seconds": 3}, 1_000),
    ("no use, no least", card(rate("audio_seconds", 100, least=10)), {"audio_seconds": 0}, 0),
    ("whole minutes", card(rate("audio_seconds", 6_000, 60, block=60)), {"audio_seconds": 61}, 12_000),
    ("a whole minute", card(rate("audio_seconds", 6_000, 60, block=60)), {"audio_seconds": 60}, 6_000),
    ("some included", card(rate("urls", 7, less=5)), {"urls": 7}, 14),
    ("all included", card(rate("urls", 7, less=5)), {"urls": 4}, 0),
    ("all included, and so nothing at least", card(rate("urls", 7, less=5, least=9)), {"urls": 5}, 0),
    ("one more than is included", card(rate("urls", 7, less=5, least=9)), {"urls": 6}, 63),
    ("what is left is whole blocks", card(rate("urls", 7, less=5, block=10)), {"urls": 7}, 70),
    ("an hour's rate by the second", card(rate("run_seconds", 1_000, 3_600)), {"run_seconds": 100}, 28),
    ("a markup, once on the sum", card(rate("requests", 800_000_000), markup="0.2"), {}, 960_000_000),
    ("a least charge", card(rate("urls", 7), least_charge="1000"), {"urls": 1}, 1_000),
    ("no request, no least charge", card(rate("urls", 7), least_charge="1000"), {"requests": 0}, 0),
    ("a most charge", card(rate("urls", 7), most_charge="1000"), {"urls": 1_000}, 1_000),
    ("a short call", card(*LONG), {"input_tokens": 272_000, "output_tokens": 100}, 341_000),
    ("a long call, all of it", card(*LONG), {"input_tokens": 272_001, "output_tokens": 100}, 681_002),
    (
        "what is cached makes a call long",
        card(*LONG),
        {"input_tokens": 300_000, "cached_input_tokens": 299_000},
        2_500 + 37_375,
    ),
]


@pytest.mark.parametrize(
    ("priced", "usage", "total_nano"), [each[1:] for each in GOLDEN], ids=[each[0] for each in GOLDEN]
)
def test_each_way_of_charging_has_an_example(
    priced: RateCard, usage: dict[str, int], total_nano: int
) -> None:
    assert price(priced, usage).total_nano == total_nano
    assert worst_nano(priced, usage) >= total_nano


def test_nothing_is_held_for_what_is_no_request() -> None:
    """Such as a count of tokens, by the card of the model that they are for."""
    assert worst_nano(card(*LONG, markup="0.1", least_charge="1000"), {"requests": 0}) == 0


def test_lines_say_what_was_done() -> None:
    charge = price(
        card(rate("audio_seconds", 100, 1, least=10), markup="0.1", least_charge="2000"), {"audio_seconds": 3}
    )
    assert charge.lines == (
        Line("audio_seconds", 3, "100.00", 1, 1_000, (Step("least", "10"),)),
        Line("markup", 0, "0", 1, 100, (Step("share", "0.1"),)),
        Line("least_charge", 0, "0", 1, 900, (Step("at_least", "2000"),)),
    )
    assert charge.total_nano == 2_000


def test_a_card_without_steps_has_the_version_and_the_lines_that_it_ever_had() -> None:
    """Receipts of earlier calls have them."""
    plain = RateCard("card", (), (Rate("input_tokens", Fraction(150), 1_000),))
    assert plain.version == sha256(b"input_tokens=150/1000").hexdigest()[:12]
    assert b"steps" not in msgspec.json.encode(price(plain, {"input_tokens": 5}))


@pytest.mark.parametrize(
    "changed",
    [
        card(*LONG, markup="0.1"),
        card(*LONG, least_charge="1"),
        card(*LONG[1:], rate("input_tokens", 1_250, 1_000, upto=271_999)),
        card(*LONG[:3], rate("output_tokens", 10_000, 1_000, block=2)),
    ],
)
def test_whatever_changes_a_price_changes_the_version(changed: RateCard) -> None:
    assert changed.version != card(*LONG).version


def test_a_job_has_the_price_of_its_beginning_also_by_a_card_with_extras() -> None:
    """What members turn on is settled when the job begins, and is no part of what a row keeps of the card."""
    began = replace(card(*LONG), extras=(Extra("scrape", "urls", "addresses", 3),))
    assert card_of(began.price_id, began.listed).price_id == began.price_id


SEARCHING: Final = RateCard(
    "agent",
    (),
    tuple(
        beside(
            [Rate("web_searches", Fraction(10_000_000), 1), Rate("containers", Fraction(30_000_000), 1)],
            "web_searches",
        )
    ),
)


@pytest.mark.parametrize(
    ("usage", "total_nano"),
    [
        ({"containers": 1}, 30_000_000),
        ({"containers": 2, "web_searches": 0}, 60_000_000),
        ({"containers": 2, "web_searches": 1}, 10_000_000),
        ({"web_searches": 3}, 30_000_000),
    ],
)
def test_a_tool_is_free_in_a_call_that_uses_another(usage: dict[str, int], total_nano: int) -> None:
    charge = price(SEARCHING, usage)
    assert charge.total_nano == total_nano
    assert {line.meter for line in charge.lines} == {meter for meter, count in usage.items() if count}


def test_the_least_of_a_call_is_where_what_it_may_use_beside_makes_things_free() -> None:
    """Its most is without that, where this is dearer."""
    least = partial(least_charge, SEARCHING, {"containers": 1})
    assert [least(ceiling)[1].total_nano for ceiling in ({}, {"web_searches": 5})] == [30_000_000, 10_000_000]
    assert worst_nano(SEARCHING, {"containers": 1, "web_searches": 1}) == 30_000_000
    assert worst_nano(SEARCHING, {"containers": 1, "web_searches": 9}) == 90_000_000


def test_what_is_free_beside_is_a_part_of_the_version() -> None:
    others = replace(SEARCHING, rates=tuple(beside([*SEARCHING.rates[::2]], "file_searches")))
    assert others.version != SEARCHING.version
