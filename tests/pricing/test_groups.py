"""What a group pays: every rate multiplied, exactly, and each line says so; and which cards are for whom."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.metering.usage import METERS
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.charge import price, worst_nano
from proxy.pricing.rates import Adjustment, Rate
from proxy.pricing.steps import Step, exact_amounts
from tests.pricing.test_charge import PRICES, usages
from tests.pricing.test_stepped import stepped_cards

MULTIPLIERS = st.sampled_from(["0", "0.8", "1.25", "0.333333", "9999.999999"])
STEP = Step("times", "0.8", "group vip")


@st.composite
def plain_cards(draw: st.DrawFn) -> RateCard:
    meters = draw(st.lists(st.sampled_from(sorted(METERS)), unique=True, min_size=1, max_size=4))
    return RateCard("card", (), tuple(Rate(meter, draw(PRICES), 1_000) for meter in meters))


@given(st.one_of(plain_cards(), stepped_cards()), MULTIPLIERS, usages())
def test_each_line_comes_to_the_multiple_that_it_says(
    card: RateCard, multiplier: str, usage: dict[str, int]
) -> None:
    """From the line alone; the total is rounded once, and the ceiling covers it."""
    card = card.multiplied(multiplier, "vip")
    charge = price(card, usage)
    exact = list(exact_amounts(charge.lines))
    assert charge.total_nano == round(sum(exact, Fraction(0)))
    assert charge.total_nano <= worst_nano(card, usage)
    rated = [line for line in charge.lines if line.quantity]
    assert all(line.steps[-1] == Step("times", multiplier, "group vip") for line in rated)


@given(plain_cards(), MULTIPLIERS, usages())
def test_without_other_steps_a_multiple_is_as_quick_as_the_card(
    card: RateCard, multiplier: str, usage: dict[str, int]
) -> None:
    """It has no other quantities and prices, and its ceiling is the multiple of the card's."""
    multiple = card.multiplied(multiplier, "vip")
    assert multiple.is_linear
    shown = [(line.meter, line.quantity, line.price_nano, line.per) for line in price(multiple, usage).lines]
    assert shown == [
        (line.meter, line.quantity, line.price_nano, line.per) for line in price(card, usage).lines
    ]
    exact = Fraction(
        sum(card.worst_weights[meter] * n for meter, n in _wholes(card, usage).items()), card.denominator
    )
    assert worst_nano(multiple, usage) == ceil(exact * Fraction(multiplier))


def _wholes(card: RateCard, usage: dict[str, int]) -> dict[str, int]:
    return {meter: usage.get(meter, 1 if meter == "requests" else 0) for meter in card.worst_weights}


def rated(card: RateCard) -> dict[str, Fraction]:
    return {rate.meter: rate.unit_nano for rate in card.rates}


def test_surcharges_cases_tiers_and_changes_are_multiplied_and_bounds_are_not() -> None:
    rates = (Rate("input_tokens", Fraction(10), 1), Rate("web_searches", Fraction(100), 1))
    card = RateCard(
        "card",
        ("*",),
        rates,
        service_tiers=(("priority", Fraction(2)),),
        adjustments=(Adjustment("least_charge", Step("at_least", "7")),),
    )
    dear = replace(card, id="card+size=a", rates=(replace(rates[0], price=Fraction(50)), rates[1]))
    later = replace(card, rates=(replace(rates[0], price=Fraction(20)), rates[1]))
    multiple = replace(card, cases=(Case((("size", "a"),), dear),), changes=((9, later),)).multiplied(
        "0.8", "vip"
    )
    assert rated(multiple) == {"input_tokens": 8, "web_searches": 80}
    assert rated(multiple.by_tier["priority"]) == {"input_tokens": 16, "web_searches": 80}
    assert rated(multiple.case_of({"size": "A"})) == {"input_tokens": 40, "web_searches": 80}
    assert rated(multiple.as_of(9)) == {"input_tokens": 16, "web_searches": 80}
    assert multiple.adjustments == card.adjustments
    assert price(multiple, {"input_tokens": 5}).lines[0].steps == (STEP,)
    assert price(multiple, {"input_tokens": 0, "web_searches": 0}).total_nano == 7


def test_the_group_is_in_the_price_id() -> None:
    rates = (Rate("input_tokens", Fraction(10), 1),)
    card = RateCard("card", (), rates, service_tiers=(("flex", Fraction(1, 2)),))
    multiple = card.multiplied("0.8", "vip")
    ids = [each.price_id.partition("@")[0] for each in (multiple, multiple.by_tier["flex"])]
    assert ids == ["card+group=vip", "card+group=vip+flex"]
    assert multiple.version != card.version


CARDS = [
    RateCard("vip", ("m",), (Rate("input_tokens", Fraction(1), 1),), groups=("vip",)),
    RateCard("chats", ("m",), (Rate("input_tokens", Fraction(2), 1),), endpoints=("chat.completions",)),
    RateCard("both", ("*",), (), groups=("vip", "beta"), endpoints=("embeddings",)),
    RateCard("others", ("m",), (Rate("input_tokens", Fraction(3), 1),)),
]


@pytest.mark.parametrize(
    ("endpoint", "group", "card"),
    [
        ("chat.completions", "", "chats"),
        ("chat.completions", "vip", "vip"),
        ("chat.completions", "beta", "chats"),
        ("chat.completions", "unheard", "chats"),
        ("embeddings", "vip", "vip"),
        ("embeddings", "beta", "both"),
        ("embeddings", "", "others"),
        ("completions", "beta", "others"),
    ],
)
def test_the_first_card_that_is_for_the_call_prices_it(endpoint: str, group: str, card: str) -> None:
    """In the order of the file: a matching glob alone is not enough."""
    found = PriceBook(CARDS).card_of(None, "m", endpoint, group)
    assert found is not None
    assert found.id == card


def test_a_card_that_a_route_names_prices_only_whom_it_is_for() -> None:
    book = PriceBook(CARDS)
    assert book.card_of("vip", "m", "embeddings", "vip") is CARDS[0]
    assert book.card_of("vip", "m", "embeddings", "beta") is None
    assert book.card_of("chats", "m", "embeddings") is None


def test_a_card_is_multiplied_once_for_each_group() -> None:
    """A group that multiplies by one, or is not known, has the card itself."""
    book = PriceBook(CARDS, multipliers={"beta": "0.8", "gamma": "1.00"})
    multiple = book.card_of(None, "m", "chat.completions", "beta")
    assert multiple is not None
    assert (multiple.id, rated(multiple)) == ("chats+group=beta", {"input_tokens": Fraction(8, 5)})
    assert book.card_now(None, "m", "chat.completions", lambda: 5, "beta") is multiple
    assert [book.card_of(None, "m", "chat.completions", name) for name in ("gamma", "", "x")] == [
        CARDS[1]
    ] * 3


def test_all_is_free_for_a_group_that_multiplies_by_nothing() -> None:
    book = PriceBook(CARDS, multipliers={"staff": "0.00", "beta": "0.8"})
    meters = ("input_tokens",)
    assert [book.has_free(meters, "chat.completions", group) for group in ("", "beta", "staff")] == [
        False,
        False,
        True,
    ]
