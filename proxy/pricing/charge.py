"""Pricing: usage times rate card is a charge, exact until the one rounding."""

from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import Usage
from proxy.money import round_half_even, split_total
from proxy.pricing.rates import RateCard


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a charge: `quantity` units at `price_nano` (a decimal string) for each `per` units."""

    meter: str
    quantity: int
    price_nano: str
    per: int
    amount_nano: int


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A priced usage. The lines' amounts sum to `total_nano`; `price_id` is `card@version`, "" for none."""

    total_nano: int
    lines: tuple[Line, ...]
    price_id: str


NO_CHARGE: Final = Charge(0, (), "")


def price(card: RateCard, usage: Usage) -> Charge:
    """Charge for `usage`: the exact sum of quantities times rates, rounded once, half to even.

    Lines follow the card's order; they are split by largest remainder so that they sum to the total.
    """
    quantities = usage if card.is_plain else card.quantities(usage)
    # Amounts are exact numerators at first. With most cards they are whole nano-dollars, and are not rounded.
    lines: list[Line] = []
    total_nano = 0
    for meter, weight, price_nano, per in card.terms:
        if quantity := quantities.get(meter):
            total_nano += (amount_nano := quantity * weight)
            lines.append(Line(meter, quantity, price_nano, per, amount_nano))
    if card.denominator != 1:
        numerators = [line.amount_nano for line in lines]
        total_nano = round_half_even(total_nano, card.denominator)
        amounts = split_total(total_nano, numerators, card.denominator)
        lines = [replace(line, amount_nano=part) for line, part in zip(lines, amounts, strict=True)]
    return Charge(total_nano, tuple(lines), card.price_id)


def worst_nano(card: RateCard, ceiling: Usage) -> int:
    """The largest charge for any usage within `ceiling`: every whole at its dearest rate, rounded up."""
    return -(-_worst_numerator(card, ceiling) // card.denominator)


def more_nano(card: RateCard, meter: str, quantity: int) -> int:
    """The most that so much more of a whole meter can be charged within a call, rounded up."""
    return -(-card.worst_weights.get(meter, 0) * quantity // card.denominator)


def affordable(
    card: RateCard, funds_nano: int, ceiling: Usage, meter: str, bundle: int = 1, *, beside: int = 0
) -> int:
    """How many units of `meter`, each used `bundle` times, `funds_nano` pay beside the rest of `ceiling`.

    `beside` units of the meter belong to the rest. Zero when the funds do not pay the rest; as many as the
    ceiling has when the meter costs nothing.
    """
    rest = {**ceiling, meter: beside}
    left = funds_nano * card.denominator - _worst_numerator(card, rest)
    weight = card.worst_weights.get(meter, 0) * bundle
    if left < 0:
        return 0
    return left // weight if weight else (ceiling.get(meter, 0) - beside) // bundle


def _worst_numerator(card: RateCard, ceiling: Usage) -> int:
    total = 0
    for meter, weight in card.worst_weights.items():
        total += weight * (ceiling.get(meter, 1) if meter == "requests" else ceiling.get(meter, 0))
    return total
