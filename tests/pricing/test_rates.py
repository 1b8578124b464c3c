"""A rate card knows what a unit costs exactly, what it prices, and which quantity each rate is for."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.metering.usage import METERS
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Adjustment, Rate
from proxy.pricing.steps import Step


def card_of(**prices: Fraction | int) -> RateCard:
    """A card with a price in nano-USD for one unit of each meter."""
    return RateCard("card", (), tuple(Rate(meter, Fraction(price), 1) for meter, price in prices.items()))


@given(st.fractions(0, 10**9), st.sampled_from([1, 1_000, 1_000_000]))
def test_a_weight_over_the_denominator_is_the_unit_price(price: Fraction, per: int) -> None:
    other = Rate("output_tokens", Fraction(1, 7), 1_000)
    card = RateCard("card", (), (Rate("input_tokens", price, per), other))
    assert Fraction(card.weights["input_tokens"], card.denominator) == price / per
    assert Fraction(card.weights["output_tokens"], card.denominator) == Fraction(1, 7_000)


@pytest.mark.parametrize(
    ("meters", "billing_type"),
    [
        (["requests"], "per_call"),
        (["input_tokens"], "per_token"),
        (["requests", "output_tokens"], "per_token"),
        (["audio_seconds"], "metered"),
        (["requests", "images"], "metered"),
    ],
)
def test_a_card_charges_by_call_by_token_or_by_another_meter(meters: list[str], billing_type: str) -> None:
    assert card_of(**dict.fromkeys(meters, 1)).billing_type == billing_type


@pytest.mark.parametrize(
    ("priced", "used", "covered"),
    [
        (["requests"], ["input_tokens", "output_tokens"], True),
        (["input_tokens", "output_tokens"], ["input_tokens", "output_tokens"], True),
        (["input_tokens"], ["input_tokens", "output_tokens"], False),
        (["requests", "input_tokens"], ["input_tokens", "output_tokens"], False),
        (["input_tokens", "cached_input_tokens"], ["input_tokens"], True),
        (["cached_input_tokens"], ["input_tokens"], False),
        (["audio_seconds"], [("audio_seconds", "input_tokens"), "requests"], False),
        (["audio_seconds"], [("audio_seconds", "input_tokens")], True),
        (["output_tokens"], [("audio_seconds", "input_tokens"), "output_tokens"], False),
        (["requests"], [("audio_seconds", "input_tokens")], True),
    ],
)
def test_a_call_is_covered_by_a_fixed_price_or_a_rate_for_each_meter(
    priced: list[str], used: list[str | tuple[str, ...]], *, covered: bool
) -> None:
    card = card_of(**dict.fromkeys(priced, 1))
    assert card.covers(tuple(used)) is covered
    assert covered or card.missing(tuple(used))


def test_a_card_says_what_it_has_no_rate_for() -> None:
    needed = ("input_tokens", ("audio_seconds", "characters"), "images")
    assert card_of(images=1).missing(needed) == [("input_tokens",), ("audio_seconds", "characters")]


def test_a_call_is_free_only_where_nothing_that_it_may_use_has_a_price() -> None:
    either = (("audio_seconds", "input_tokens"),)
    assert card_of(audio_seconds=0, input_tokens=0).is_free_for(either)
    assert not card_of(audio_seconds=0, input_tokens=1).is_free_for(either)


@pytest.mark.parametrize(
    ("added", "free"),
    [
        (Adjustment("least_charge", Step("at_least", "1")), False),
        (Adjustment("least_charge", Step("at_least", "0")), True),
        (Adjustment("markup", Step("share", "1/5")), True),
        (Adjustment("most_charge", Step("at_most", "1")), True),
    ],
)
def test_a_card_without_prices_is_free_unless_what_it_adds_to_nothing_costs(
    added: Adjustment, *, free: bool
) -> None:
    assert replace(card_of(input_tokens=0), adjustments=(added,)).is_free_for(("input_tokens",)) is free


@pytest.mark.parametrize(
    ("priced", "usage", "billed"),
    [
        # A part with a rate is taken out of its whole; one without stays in it.
        (
            ["input_tokens", "cached_input_tokens"],
            {"input_tokens": 100, "cached_input_tokens": 30, "input_audio_tokens": 5},
            {"input_tokens": 70, "cached_input_tokens": 30},
        ),
        (["input_tokens"], {"input_tokens": 100, "cached_input_tokens": 30}, {"input_tokens": 100}),
        # The whole may have no rate of its own.
        (["reasoning_tokens"], {"output_tokens": 9, "reasoning_tokens": 4}, {"reasoning_tokens": 4}),
        # More of a part than of its whole is absurd: there is never more to charge than the whole.
        (
            ["input_tokens", "cached_input_tokens"],
            {"input_tokens": 10, "cached_input_tokens": 30},
            {"input_tokens": 0, "cached_input_tokens": 10},
        ),
        # Parts that overlap share their whole, the earlier rate first.
        (
            ["input_tokens", "input_audio_tokens", "cached_input_tokens"],
            {"input_tokens": 10, "cached_input_tokens": 8, "input_audio_tokens": 7},
            {"input_tokens": 0, "input_audio_tokens": 7, "cached_input_tokens": 3},
        ),
        # Parts whose whole was not reported stand for themselves.
        (
            ["input_tokens", "cached_input_tokens"],
            {"cached_input_tokens": 3},
            {"input_tokens": 0, "cached_input_tokens": 3},
        ),
        # A call is one request, unless the usage says how many it was.
        (["requests", "output_tokens"], {"output_tokens": 5}, {"requests": 1, "output_tokens": 5}),
        (["requests"], {"requests": 0}, {"requests": 0}),
    ],
)
def test_each_rate_is_for_its_own_quantity(
    priced: list[str], usage: dict[str, int], billed: dict[str, int]
) -> None:
    assert card_of(**dict.fromkeys(priced, 1)).quantities(usage) == billed


@given(
    st.lists(st.sampled_from(sorted(METERS)), unique=True, min_size=1),
    st.dictionaries(st.sampled_from(sorted(METERS)), st.integers(0, 1_000)),
)
def test_no_unit_of_a_whole_is_charged_twice(priced: list[str], usage: dict[str, int]) -> None:
    billed = card_of(**dict.fromkeys(priced, 1)).quantities(usage)
    for whole in usage.keys() & {meter.part_of for meter in METERS.values()}:
        family = [meter for meter in priced if whole in (meter, METERS[meter].part_of)]
        assert sum(billed[meter] for meter in family) <= usage[whole]
        if whole in priced:
            assert sum(billed[meter] for meter in family) == usage[whole]


def test_a_whole_is_worth_the_dearest_of_itself_and_its_parts() -> None:
    card = card_of(
        input_tokens=2, cached_input_tokens=1, input_audio_tokens=9, reasoning_tokens=4, requests=3
    )
    assert card.worst_weights == {"input_tokens": 9, "output_tokens": 4, "requests": 3}


def test_equal_rates_have_equal_versions_and_any_change_of_them_another() -> None:
    base = RateCard("a", ("x",), (Rate("input_tokens", Fraction(150), 1_000),))
    assert base.version == RateCard("b", (), (Rate("input_tokens", Fraction(150), 1_000),)).version
    others = [Rate("output_tokens", Fraction(150), 1_000), Rate("input_tokens", Fraction(151), 1_000)]
    others.append(Rate("input_tokens", Fraction(150), 1_000_000))
    versions = {RateCard("a", ("x",), (rate,)).version for rate in others}
    assert len(versions | {base.version}) == 4
    assert base.price_id == f"a@{base.version}"


def test_a_price_is_labelled_exactly_even_below_a_nano_dollar() -> None:
    card = RateCard("a", (), (Rate("input_tokens", Fraction(5, 2), 1_000),))
    assert [term[2:4] for term in card.terms] == [("2.50", 1_000)]


@pytest.mark.parametrize(
    ("meters", "billing"),
    [
        (("requests", "web_searches"), "per_call"),
        (("requests", "input_tokens", "web_searches"), "per_token"),
        (("web_searches",), "metered"),
    ],
)
def test_a_surcharge_does_not_change_how_a_card_charges(meters: tuple[str, ...], billing: str) -> None:
    assert card_of(**dict.fromkeys(meters, 1)).billing_type == billing


def test_a_tier_multiplies_all_rates_but_surcharges() -> None:
    """Its card has another price id, so that a receipt says at which tier a call was charged."""
    base = replace(
        card_of(requests=3, input_tokens=2, web_searches=7), service_tiers=(("flex", Fraction(1, 2)),)
    )
    flex = base.by_tier["flex"]
    assert {rate.meter: rate.unit_nano for rate in flex.rates} == {
        "requests": Fraction(3, 2),
        "input_tokens": 1,
        "web_searches": 7,
    }
    assert flex.price_id.startswith("card+flex@")
    assert flex.version != base.version
    assert base.keys == {
        "rates.requests",
        "rates.input_tokens",
        "rates.web_searches",
        "service_tiers.flex",
    }


VALUES = st.sampled_from(["x", "X", "y"])
PARAMETERS = st.dictionaries(st.sampled_from("ab"), VALUES)
CONDITIONS = st.dictionaries(st.sampled_from("ab"), VALUES, min_size=1)


@given(st.lists(CONDITIONS, max_size=4), PARAMETERS)
def test_the_first_case_whose_conditions_all_hold_prices_a_call(
    conditions: list[dict[str, str]], parameters: dict[str, str]
) -> None:
    """Values are compared without their case. Where none holds, the card itself does."""
    cards = [replace(card_of(images=place), id=str(place)) for place in range(len(conditions))]
    cases = [
        Case(tuple((name, value.casefold()) for name, value in when.items()), card)
        for when, card in zip(conditions, cards, strict=True)
    ]
    card = replace(card_of(images=100), cases=tuple(cases))
    lowered = {name: value.lower() for name, value in parameters.items()}
    expected = next(
        (
            place
            for place, when in enumerate(conditions)
            if {name: value.lower() for name, value in when.items()}.items() <= lowered.items()
        ),
        None,
    )
    found = card.case_of(parameters)
    assert found is (card if expected is None else cards[expected])
    assert set(card.conditions) == {name for when in conditions for name in when}


def test_a_card_covers_and_is_free_for_what_one_of_its_cases_is() -> None:
    priced, free = card_of(input_tokens=1), replace(card_of(images=0), id="free")
    card = replace(priced, cases=(Case((("size", "a"),), free),))
    assert [card.may_cover((meter,)) for meter in ("input_tokens", "images", "characters")] == [
        True,
        True,
        False,
    ]
    assert [card.may_be_free_for((meter,)) for meter in ("input_tokens", "images")] == [False, True]
    assert not card.by_tier


def test_cases_change_nothing_about_the_version_of_the_usual_prices() -> None:
    usual, dear = card_of(images=1), replace(card_of(images=2), id="card+size=a")
    card = replace(usual, cases=(Case((("size", "a"),), dear),))
    assert card.price_id == usual.price_id != card.case_of({"size": "A"}).price_id
