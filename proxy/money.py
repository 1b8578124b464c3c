"""Money is an `int` of nano-USD: how it is parsed, shown and rounded. Nothing here uses floats."""

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

NANO_PER_USD: Final = 1_000_000_000
MAX_NANO: Final = 2**62 - 1
"""The largest amount of any figure. A signed 64-bit column holds the sum of two."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,30})?\Z")


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of showing money: `per_usd` of it make one US dollar. The ledger never sees it."""

    name: str = "usd"
    per_usd: int = 1

    def __post_init__(self) -> None:
        """Refuse a unit that could not be shown exactly, or whose name already stands for dollars."""
        if self.per_usd < 1:
            raise ValueError(f"per_usd must be a whole number of at least 1, not {self.per_usd}")
        if self.name.lower() == "usd" and self.per_usd != 1:
            raise ValueError(
                f"{self.per_usd} of a unit named {self.name!r} cannot make one US dollar; rename it"
            )

    def show(self, nano: int) -> str:
        """`nano` in this unit as an exact decimal string with two decimals at least."""
        return decimal_string(Fraction(nano * self.per_usd, NANO_PER_USD))


USD: Final = Unit()


def decimal_string(value: Fraction) -> str:
    """An exact decimal string without exponent, two decimals at least; ValueError if none is exact."""
    sign = "-" if value < 0 else ""
    numerator, denominator = abs(value.numerator), value.denominator
    whole, rest = divmod(numerator, denominator)
    digits = ""
    while rest and len(digits) < 60:
        digit, rest = divmod(rest * 10, denominator)
        digits += str(digit)
    if rest:
        raise ValueError(f"{value} has no exact decimal form")
    return f"{sign}{whole}.{digits:<02}" if len(digits) < 2 else f"{sign}{whole}.{digits}"


def usd_string(nano: int) -> str:
    """Nano-USD as a string of US dollars, exact, two decimals at least: `0.000055`, `10.00`."""
    if nano < 0:
        return f"-{usd_string(-nano)}"
    digits = str(nano).zfill(10)
    return f"{digits[:-9]}.{digits[-9:-7]}{digits[-7:].rstrip('0')}"


def parse_amount(text: str, unit: Unit = USD) -> Fraction:
    """The exact nano-USD a string stands for: US dollars, or `<number> <unit name>` such as `500 credits`.

    Raises ValueError with what would be right; exponents, NaN, infinities and floats are not money.
    """
    number, _, name = text.strip().partition(" ")
    per_usd = 1
    if name and name.strip().lower() not in {"usd", unit.name.lower()}:
        raise ValueError(f"{text!r} is in an unknown unit; write US dollars or {unit.name!r}")
    if name and name.strip().lower() == unit.name.lower():
        per_usd = unit.per_usd
    if not _NUMBER.match(number):
        raise ValueError(f'{text!r} is not an amount; write a decimal string such as "0.15"')
    return Fraction(Decimal(number)) * NANO_PER_USD / per_usd


def to_nano(text: str, unit: Unit = USD) -> int:
    """Whole nano-USD of an amount; ValueError when it is finer than one nano-dollar or absurdly large."""
    exact = parse_amount(text, unit)
    if exact.denominator != 1:
        raise ValueError(f"{text!r} is finer than 0.000000001 USD, the smallest amount there is")
    if abs(exact.numerator) > MAX_NANO:
        raise ValueError(f"{text!r} is larger than {usd_string(MAX_NANO)} USD, the largest amount there is")
    return exact.numerator


def round_half_even(numerator: int, denominator: int) -> int:
    """The one rounding: the nearest integer to numerator/denominator, ties to even. `denominator` > 0."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def split_total(total: int, numerators: Sequence[int], denominator: int) -> list[int]:
    """Whole parts that sum to `total`, each next to its numerator/denominator: largest remainders first.

    `total` must be the rounding of the exact sum; ties go to the earlier part. `denominator` > 0.
    """
    parts = [numerator // denominator for numerator in numerators]
    missing = total - sum(parts)
    if missing:
        # The sort is stable, so the earlier of two equals comes first.
        by_remainder = sorted(range(len(parts)), key=lambda index: -(numerators[index] % denominator))
        for index in by_remainder[:missing]:
            parts[index] += 1
    return parts
