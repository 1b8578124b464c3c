"""A charge is exact, rounded once, and never more than what was held for it."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.config.prices import PERS
from proxy.metering.usage import METERS
from proxy.money import MAX_NANO, Unit, parse_amount
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import affordable, more_nano, price, worst_nano
from proxy.pricing.rates import Rate

WHOLES = sorted(name for name, meter in METERS.items() if meter.part_of is None)
QUANTITIES = st.one_of(st.integers(0, 20), st.integers(0, 10**9))
# Prices have finite decimals, for so they are written; some are fractions of a nano-dollar a unit.
PRICES = st.builds(Fraction, st.integers(0, 10**9), st.sampled_from([1, 2, 4, 10, 1_000]))
CREDITS = Unit("credits", 10_000)


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    meters = draw(st.lists(st.sampled_from(sorted(METERS)), unique=True, min_size=1))
    return RateCard(
        "card",
        (),
        tuple(Rate(meter, draw(PRICES), draw(st.sampled_from(list(PERS.values())))) for meter in meters),
    )


@st.composite
def usages(draw: st.DrawFn) -> dict[str, int]:
    """Usage as tallies give it: a part never exceeds its whole, though parts may overlap."""
    usage = draw(st.dictionaries(st.sampled_from(WHOLES), QUANTITIES))
    for name, meter in METERS.items():
        if meter.part_of in usage and draw(st.booleans()):
            usage[name] = draw(st.integers(0, usage[meter.part_of]))
    return usage


def exact_nano(card: RateCard, usage: dict[str, int]) -> Fraction:
    """The charge by brute force: each unit of a whole goes to one part at most, the rest to itself."""
    total = Fraction(0)
    unit_nano = {rate.meter: Fraction(rate.price) * Fraction(1, rate.per) for rate in card.rates}
    for whole in WHOLES:
        available = usage.get(whole, 1 if whole == "requests" else 0)
        for meter, part_nano in unit_nano.items():
            if METERS[meter].part_of == whole:
                taken = sorted((0, available, usage.get(meter, 0)))[1]
                total += taken * part_nano
                available -= taken
        total += available * unit_nano.get(whole, Fraction(0))
    return total


@given(cards(), usages())
def test_a_charge_is_the_exact_sum_rounded_once_half_to_even(card: RateCard, usage: dict[str, int]) -> None:
    # Rounding a Fraction is half to even, too, by another way.
    assert price(card, usage).total_nano == round(exact_nano(card, usage))


@given(cards(), usages())
def test_lines_sum_to_the_total_and_each_is_next_to_its_own_product(
    card: RateCard, usage: dict[str, int]
) -> None:
    charge = price(card, usage)
    assert sum(line.amount_nano for line in charge.lines) == charge.total_nano
    for line in charge.lines:
        assert line.quantity > 0
        exact = Fraction(line.price_nano) * line.quantity / line.per
        assert abs(line.amount_nano - exact) < 1


@given(cards(), usages())
def test_a_charge_can_be_recomputed_from_its_lines(card: RateCard, usage: dict[str, int]) -> None:
    charge = price(card, usage)
    exact = sum((Fraction(line.price_nano) * line.quantity / line.per for line in charge.lines), Fraction(0))
    assert round(exact) == charge.total_nano
    assert charge.price_id == card.price_id


@given(cards(), usages(), st.data())
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


@given(cards(), usages())
def test_the_worst_is_reached_or_passed_by_less_than_a_nano_dollar(
    card: RateCard, ceiling: dict[str, int]
) -> None:
    """A bound that nothing reaches would hold, and refuse, for no reason."""
    dearest: dict[str, int] = {}
    for whole in WHOLES:
        family = [rate for rate in card.rates if whole in (rate.meter, METERS[rate.meter].part_of)]
        if family:
            best = max(family, key=lambda rate: rate.price / rate.per)
            quantity = ceiling.get(whole, 1 if whole == "requests" else 0)
            dearest |= {whole: quantity, best.meter: quantity}
    assert 0 <= worst_nano(card, ceiling) - exact_nano(card, dearest) < 1


@given(cards(), st.sampled_from(WHOLES), QUANTITIES, QUANTITIES)
def test_more_of_a_meter_is_held_for_by_itself(card: RateCard, meter: str, count: int, more: int) -> None:
    """What is held more for a meter covers what its ceiling grows by."""
    grown = worst_nano(card, {meter: count + more}) - worst_nano(card, {meter: count})
    assert 0 <= more_nano(card, meter, more) - grown <= 1


@given(
    cards(),
    st.integers(0, 10**12),
    usages(),
    st.sampled_from(["output_tokens", "requests", "images"]),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_what_is_affordable_fits_and_one_more_would_not(
    card: RateCard, funds_nano: int, ceiling: dict[str, int], meter: str, bundle: int, beside: int
) -> None:
    """What comes `beside` is paid for first."""
    ceiling = {**ceiling, meter: ceiling.get(meter, 0) + beside}
    units = affordable(card, funds_nano, ceiling, meter, bundle, beside=beside)

    def worst_of(count: int) -> int:
        return worst_nano(card, {**ceiling, meter: count * bundle + beside})

    if worst_of(0) > funds_nano:
        assert units == 0
        return
    assert worst_of(units) <= funds_nano
    if card.worst_weights.get(meter):
        assert worst_of(units + 1) > funds_nano
    else:
        assert units == (ceiling[meter] - beside) // bundle


def card_in(unit: Unit, **prices: str) -> RateCard:
    return RateCard(
        "card", (), tuple(Rate(meter, parse_amount(text, unit), 1_000_000) for meter, text in prices.items())
    )


@pytest.mark.parametrize(
    ("card", "usage", "total_nano"),
    [
        # One credit is one dollar: 0.15 and 0.6 credits for a million.
        (card_in(Unit("credits", 1), input_tokens="0.15 credits"), {"input_tokens": 1}, 150),
        (card_in(Unit("credits", 1), output_tokens="0.6 credits"), {"output_tokens": 1}, 600),
        # Ten thousand credits are one dollar: 500 in and 200 out cost 0.55 credits.
        (
            card_in(CREDITS, input_tokens="500 credits", output_tokens="1500 credits"),
            {"input_tokens": 500, "output_tokens": 200},
            55_000,
        ),
        # A thousand in and five hundred out cost 0.0005 dollars.
        (
            card_in(CREDITS, input_tokens="0.20", output_tokens="0.60"),
            {"input_tokens": 1_000, "output_tokens": 500},
            500_000,
        ),
        # The smallest call costs what it costs, and is not raised to some least amount.
        (card_in(CREDITS, input_tokens="0.04", output_tokens="0.08"), {"input_tokens": 10}, 400),
        (
            card_in(CREDITS, input_tokens="0.04", output_tokens="0.08"),
            {"input_tokens": 1, "output_tokens": 1},
            120,
        ),
        (card_in(CREDITS, input_tokens="0.01"), {"input_tokens": 1}, 10),
        # Speech by the character: 35,000 credits for a million.
        (card_in(CREDITS, characters="35000 credits"), {"characters": 1}, 3_500),
        (card_in(CREDITS, characters="35000 credits"), {"characters": 1_000_000}, 3_500_000_000),
    ],
)
def test_published_prices_give_the_published_charges(
    card: RateCard, usage: dict[str, int], total_nano: int
) -> None:
    assert price(card, usage).total_nano == total_nano


def test_the_published_example_is_shown_in_credits() -> None:
    card = card_in(CREDITS, input_tokens="500 credits", output_tokens="1500 credits")
    charge = price(card, {"input_tokens": 500, "output_tokens": 200})
    assert CREDITS.show(charge.total_nano) == "0.55"
    assert [CREDITS.show(line.amount_nano) for line in charge.lines] == ["0.25", "0.30"]


def test_a_fixed_price_does_not_depend_on_what_was_used() -> None:
    card = RateCard("search", (), (Rate("requests", parse_amount("0.02"), 1),))
    assert {price(card, usage).total_nano for usage in ({}, {"input_tokens": 10**9}, {"requests": 1})} == {
        20_000_000
    }


def test_a_quarter_of_a_small_price_is_rounded_once_and_not_for_each_unit() -> None:
    """2.5 nano-dollars a token: a thousand tokens cost 2,500, whatever a single one would be rounded to."""
    card = RateCard("card", (), (Rate("cached_input_tokens", Fraction(5, 2), 1),))
    costs_nano = [price(card, {"cached_input_tokens": count}).total_nano for count in (1, 3, 1_000)]
    assert costs_nano == [2, 8, 2_500]


@given(usages())
def test_a_card_of_zero_rates_charges_nothing(usage: dict[str, int]) -> None:
    card = RateCard("free", (), (Rate("input_tokens", Fraction(0), 1), Rate("output_tokens", Fraction(0), 1)))
    assert price(card, usage).total_nano == worst_nano(card, usage) == 0


@given(cards(), usages(), st.integers(0, MAX_NANO))
def test_more_funds_never_afford_less(card: RateCard, ceiling: dict[str, int], funds_nano: int) -> None:
    assume(card.worst_weights.get("output_tokens"))
    less = affordable(card, funds_nano // 2, ceiling, "output_tokens")
    assert less <= affordable(card, funds_nano, ceiling, "output_tokens")
