"""Money is exact: what is read is what is shown, and what is rounded is rounded once, to even."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.money import (
    MAX_NANO,
    NANO_PER_USD,
    USD,
    Unit,
    decimal_string,
    parse_amount,
    round_half_even,
    split_total,
    to_nano,
    usd_string,
)

CREDITS = Unit("credits", 10_000)
AMOUNTS_NANO = st.integers(-MAX_NANO, MAX_NANO)
DENOMINATORS = st.one_of(
    st.sampled_from([1, 2, 3, 7, 1_000, 1_000_000, NANO_PER_USD]), st.integers(1, 10**12)
)


@given(AMOUNTS_NANO)
def test_dollars_shown_are_read_back_to_the_same_amount(amount_nano: int) -> None:
    assert to_nano(usd_string(amount_nano)) == amount_nano


@given(AMOUNTS_NANO)
def test_dollars_are_shown_as_decimal_arithmetic_has_them(amount_nano: int) -> None:
    text = usd_string(amount_nano)
    assert Decimal(text) == Decimal(amount_nano).scaleb(-9)
    assert len(text.partition(".")[2]) >= 2


@given(AMOUNTS_NANO, st.integers(1, 10**12))
def test_an_amount_in_any_unit_is_read_back_to_the_same_amount(amount_nano: int, per_usd: int) -> None:
    unit = Unit("credits", per_usd)
    assert to_nano(USD.show(amount_nano)) == amount_nano
    number = unit.show(amount_nano)
    # A unit worth a sliver of a dollar can need more digits than an amount may have when it is written.
    if len(number.partition(".")[0].lstrip("-")) <= 18:
        assert to_nano(f"{number} credits", unit) == amount_nano


@given(st.fractions().map(lambda value: value / NANO_PER_USD))
def test_a_decimal_string_is_exact_or_there_is_none(value: Fraction) -> None:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1 and value.denominator < 10**18:
        assert Fraction(decimal_string(value)) == value
    elif rest != 1:
        with pytest.raises(ValueError, match="no exact decimal form"):
            decimal_string(value)


@pytest.mark.parametrize(
    ("text", "unit", "nano"),
    [
        ("0.15", USD, 150_000_000),
        ("0.000000001", USD, 1),
        (" 5 ", USD, 5 * NANO_PER_USD),
        ("-1.50", USD, -1_500_000_000),
        ("+1.50 usd", CREDITS, 1_500_000_000),
        ("500 credits", CREDITS, 50_000_000),
        ("0.55 Credits", CREDITS, 55_000),
        ("4611686018.427387903", USD, MAX_NANO),
    ],
)
def test_an_amount_is_dollars_or_the_unit_it_names(text: str, unit: Unit, nano: int) -> None:
    assert to_nano(text, unit) == nano


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (text, "not an amount")
            for text in ("", "1e3", "nan", "inf", "0x10", "1_000", "1,5", ".5", "5.", "$5")
        ),
        *((text, "not an amount") for text in ("--1", "5credits", "٣", "1.٣", "9" * 19, "0." + "1" * 31)),
        ("5 euros", "unknown unit"),
        ("5 usd usd", "unknown unit"),
        ("0.0000000001", "finer than 0.000000001 USD"),
        ("4611686018.427387904", "the largest amount there is"),
        ("-4611686018.427387904", "the largest amount there is"),
    ],
)
def test_what_is_not_exactly_an_amount_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_nano(text, CREDITS)


def test_an_amount_finer_than_a_nano_dollar_can_be_a_price() -> None:
    assert parse_amount("0.0000000005") == Fraction(1, 2)


def test_a_unit_that_is_worth_no_whole_nano_dollar_is_still_exact() -> None:
    assert parse_amount("3 thirds", Unit("thirds", 3)) == NANO_PER_USD


@pytest.mark.parametrize(("name", "per_usd"), [("credits", 0), ("credits", -1), ("usd", 100), ("USD", 2)])
def test_a_unit_of_no_worth_or_that_calls_itself_dollars_is_refused(name: str, per_usd: int) -> None:
    with pytest.raises(ValueError, match=str(per_usd)):
        Unit(name, per_usd)


@given(st.integers(-(10**30), 10**30), DENOMINATORS)
def test_rounding_is_what_decimal_arithmetic_calls_half_even(numerator: int, denominator: int) -> None:
    with localcontext(prec=120):
        exact = Decimal(numerator) / Decimal(denominator)
        assert round_half_even(numerator, denominator) == int(exact.to_integral_value(ROUND_HALF_EVEN))


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**9))
def test_a_tie_goes_to_the_even_neighbour(whole: int, half: int) -> None:
    rounded = round_half_even((2 * whole + 1) * half, 2 * half)
    assert rounded % 2 == 0
    assert abs(2 * rounded - (2 * whole + 1)) == 1


def split(total: int, weights: list[Fraction]) -> list[int]:
    """`split_total` of fractions, brought to their common denominator."""
    denominator = lcm(*(weight.denominator for weight in weights))
    return split_total(total, [int(weight * denominator) for weight in weights], denominator)


@given(st.lists(st.fractions(0, 10**15), max_size=12))
def test_a_split_sums_to_the_total_and_no_part_is_off_by_one(weights: list[Fraction]) -> None:
    exact = sum(weights, Fraction(0))
    total = round_half_even(exact.numerator, exact.denominator)
    parts = split(total, weights)
    assert sum(parts) == total
    assert all(abs(part - weight) < 1 for part, weight in zip(parts, weights, strict=True))
    assert all(part == weight for part, weight in zip(parts, weights, strict=True) if weight.denominator == 1)


@given(st.lists(st.fractions(0, 10**6), min_size=2, max_size=8))
def test_the_larger_remainder_is_rounded_up_first_and_ties_go_to_the_earlier(weights: list[Fraction]) -> None:
    exact = sum(weights, Fraction(0))
    parts = split(round_half_even(exact.numerator, exact.denominator), weights)
    order = sorted(range(len(weights)), key=lambda index: (-(weights[index] % 1), index))
    went_up = [parts[index] > weights[index] // 1 for index in order]
    assert went_up == sorted(went_up, reverse=True)
