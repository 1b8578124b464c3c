"""Pricing: usage times rate card is a charge, exact until the one rounding."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, lcm
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import Usage
from proxy.money import decimal_string, round_half_even, split_total
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Adjustment, Rate
from proxy.pricing.steps import Step, added, billed, exact_amounts
from proxy.pricing.tiers import Tier, Tiers


class Line(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of a charge: `quantity` units at `price_nano` (a decimal string) for each `per` units.

    Its `steps` say what else its amount follows from, see `proxy.pricing.steps`. A line that adds to those
    before it, a markup or what bounds a charge, has no quantity and no price.
    """

    meter: str
    quantity: int
    price_nano: str
    per: int
    amount_nano: int
    steps: tuple[Step, ...] = ()


class Charge(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A priced usage. The lines' amounts sum to `total_nano`; `price_id` is `card@version`, "" for none.

    `tiers` are those of lines, by their place, that are still at their dearest prices: only when the charge
    is settled is it known what was used before, see `proxy.pricing.counting`.
    """

    total_nano: int
    lines: tuple[Line, ...]
    price_id: str
    tiers: tuple[tuple[int, Tiers], ...] = ()


NO_CHARGE: Final = Charge(0, (), "")


def price(card: RateCard, usage: Usage) -> Charge:
    """Charge for `usage`: the exact sum of quantities times rates, rounded once, half to even.

    Lines follow the card's order; they are split by largest remainder so that they sum to the total.
    """
    if not card.is_linear:
        return _stepped(card, usage)
    quantities = usage if card.is_plain else card.quantities(usage)
    # Amounts are exact numerators at first. With most cards they are whole nano-dollars, and are not rounded.
    lines: list[Line] = []
    total_nano = 0
    for meter, weight, price_nano, per, steps in card.terms:
        if quantity := quantities.get(meter):
            total_nano += (amount_nano := quantity * weight)
            lines.append(Line(meter, quantity, price_nano, per, amount_nano, steps))
    if card.denominator != 1:
        numerators = [line.amount_nano for line in lines]
        total_nano = round_half_even(total_nano, card.denominator)
        amounts = split_total(total_nano, numerators, card.denominator)
        lines = [replace(line, amount_nano=part) for line, part in zip(lines, amounts, strict=True)]
    return Charge(total_nano, tuple(lines), card.price_id)


def _stepped(card: RateCard, usage: Usage) -> Charge:
    """The charge by a card whose rates have steps, or that adds to their sum."""
    flat = card.at(usage)
    quantities = usage if flat.is_plain else flat.quantities(usage)
    lines: list[Line] = []
    tiers: list[tuple[int, Tiers]] = []
    for rate in flat.rates:
        if quantity := quantities.get(rate.meter):
            if rate.tiers is not None:
                tiers.append((len(lines), rate.tiers))
            lines.append(Line(rate.meter, quantity, decimal_string(rate.price), rate.per, 0, rate.steps))
    for each in _adjustments(card, usage):
        if each.step.kind == "run_share":
            tiers.append((len(lines), _run_tiers(each.step)))
        lines.append(Line(each.name, 0, "0", 1, 0, (each.step,)))
    return rounded(lines, card.price_id, tuple(tiers))


def rounded(lines: Sequence[Line], price_id: str, tiers: tuple[tuple[int, Tiers], ...] = ()) -> Charge:
    """The charge of lines: the sum of their exact amounts, rounded once, and split so that they sum to that.

    What bounds a charge that is within its bounds adds no line, unless there are tiers that may change that.
    """
    exact = list(exact_amounts(lines))
    denominator = lcm(*(amount.denominator for amount in exact))
    numerators = [int(amount * denominator) for amount in exact]
    total_nano = round_half_even(sum(numerators), denominator)
    amounts = split_total(total_nano, numerators, denominator)
    priced = zip(lines, amounts, exact, strict=True)
    shown = (
        replace(line, amount_nano=part) for line, part, amount in priced if line.quantity or amount or tiers
    )
    return Charge(total_nano, tuple(shown), price_id, tiers)


def _run_tiers(step: Step) -> Tiers:
    """What counts for the markup of a run: all that its calls cost, at one share of that."""
    return Tiers(f"/{step.name}", "total", (Tier(0, step.value),), is_share=True)


def worst_nano(card: RateCard, ceiling: Usage) -> int:
    """The largest charge for any usage within `ceiling`: every whole at its dearest rate, rounded up."""
    if not card.is_linear:
        return ceil(_worst_stepped(card, ceiling))
    return -(-_worst_numerator(card, ceiling) // card.denominator)


def worst_charge(card: RateCard, ceiling: Usage) -> Charge:
    """The charge of a usage that comes to `worst_nano`, but for what that is rounded up by.

    Where several rates of one meter have steps, it may come to less.
    """
    charges = []
    for flat, most in card.within(ceiling):
        usage = dict(most)
        for whole, rates in flat.families.items():
            dearest = max(rates, key=lambda rate: rate.unit_nano)
            usage[dearest.meter] = most.get(whole, 1 if whole == "requests" else 0)
        charges.append(price(flat, usage))
    return max(charges, key=lambda charge: charge.total_nano)


def least_charge(card: RateCard, floor: Usage, ceiling: Usage) -> tuple[Usage, Charge]:
    """The least that a call comes to that uses `floor` at least and `ceiling` at most, and the usage of that.

    What may be used beside can make other things free.
    """
    usages: list[Usage] = [floor]
    for meter in card.companions:
        if ceiling.get(meter) and not floor.get(meter):
            usages += [{**usage, meter: 1} for usage in usages]
    priced = ((usage, price(card, usage)) for usage in usages)
    return min(priced, key=lambda each: each[1].total_nano)


def more_nano(card: RateCard, meter: str, quantity: int) -> int:
    """The most that so much more of a whole meter can be charged within a call, rounded up."""
    if not card.is_linear:
        return _more_stepped(card, meter, quantity)
    return -(-card.worst_weights.get(meter, 0) * quantity // card.denominator)


def affordable(
    card: RateCard, funds_nano: int, ceiling: Usage, meter: str, bundle: int = 1, *, beside: int = 0
) -> int:
    """How many units of `meter`, each used `bundle` times, `funds_nano` pay beside the rest of `ceiling`.

    `beside` units of the meter belong to the rest. Zero when the funds do not pay the rest; as many as the
    ceiling has when the meter costs nothing.
    """
    if not card.is_linear:
        return _affordable_stepped(card, funds_nano, ceiling, meter, bundle=bundle, beside=beside)
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


def _worst_stepped(card: RateCard, ceiling: Usage) -> Fraction:
    """The largest charge by any card that calls within `ceiling` can be priced by, exactly."""
    worst = Fraction(0)
    for flat, most in card.within(ceiling):
        total = sum((_worst_family(family, most) for family in flat.families.items()), Fraction(0))
        for each in _adjustments(card, most):
            total += added(total, each.step)
        worst = max(worst, total)
    return worst


def _adjustments(card: RateCard, usage: Usage) -> tuple[Adjustment, ...]:
    """What comes after all rates; nothing for what is no request, which no least charge may price."""
    return card.adjustments if usage.get("requests", 1) else ()


def _worst_family(family: tuple[str, tuple[Rate, ...]], ceiling: Usage) -> Fraction:
    """The most that a whole meter and its parts come to.

    One rate alone comes to what it bills. Where there are several, what is billed beyond what is used can
    come to each of them, beside the whole at the dearest.
    """
    whole, rates = family
    quantity = ceiling.get(whole, 1 if whole == "requests" else 0)
    if not quantity:
        return Fraction(0)
    if len(rates) == 1:
        return billed(quantity, rates[0].steps) * rates[0].unit_nano
    dearest = max(rate.unit_nano for rate in rates)
    return quantity * dearest + sum(rate.slack * rate.unit_nano for rate in rates)


def _more_stepped(card: RateCard, meter: str, quantity: int) -> int:
    """As `more_nano`: a block that was begun may become another one, and what comes after grows with it."""
    rates = [rate for _, flat in card.contexts for rate in flat.families.get(meter, ())]
    units = quantity + max((rate.slack for rate in rates), default=0)
    amount = units * max((rate.unit_nano for rate in rates), default=Fraction(0))
    for each in card.adjustments:
        if each.step.kind in ("share", "run_share"):
            amount += added(amount, each.step)
    return ceil(amount)


def _affordable_stepped(
    card: RateCard, funds_nano: int, ceiling: Usage, meter: str, *, bundle: int, beside: int
) -> int:
    """As `affordable`, but never more than the ceiling has."""

    def fits(units: int) -> bool:
        return _worst_stepped(card, {**ceiling, meter: beside + units * bundle}) <= funds_nano

    if not fits(0):
        return 0
    least, most = 0, (ceiling.get(meter, 0) - beside) // bundle
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least
