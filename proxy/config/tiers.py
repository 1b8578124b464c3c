"""Rates whose price depends on what a period has used before: tiers, and units that are free."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from proxy.config.card_schema import RateSchema, TierSchema
from proxy.config.faults import Findings
from proxy.config.prices import NO_PRICE, PERS, written_price
from proxy.metering.usage import METERS
from proxy.money import Unit, decimal_string
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from proxy.pricing.tiers import Tier, Tiers
from proxy.validation import Path

OWN: Final = "/"
"""Stands in the name of a counter that is a rate's own, which no name in a file has."""
_OF_CALLS: Final = ("included", "least", "block")
_OF_PERIODS: Final = ("tiers", "volume_tiers", "free", "rolls_over", "period", "counter")


def is_counted(schema: RateSchema) -> bool:
    """Whether the price depends on what was used before."""
    return bool(schema.tiers or schema.volume_tiers) or schema.free is not None


def counted_rate(meter: str, schema: RateSchema, unit: Unit, path: Path, findings: Findings) -> Rate:
    """The rate of a meter with tiers, counted for itself unless it names a counter."""
    kind, is_volume = METERS[meter], bool(schema.volume_tiers)
    way, priced = _priced(meter, schema, unit, path, findings)
    _check(schema, path, findings)
    tiers = Tiers(
        schema.counter or f"{OWN}{meter}",
        schema.period or "total",
        tuple(Tier(upto * kind.scale, decimal_string(price)) for upto, price in priced),
        is_volume,
        rolls=(schema.rolls_over or 0) * kind.scale,
    )
    dearest = max((price for _, price in priced), default=NO_PRICE)
    return Rate(meter, dearest, PERS[way] * kind.scale, (), tiers)


def carried_rate(meter: str, schema: RateSchema, unit: Unit, path: Path, findings: Findings) -> Rate:
    """The rate of a meter whose blocks go on from call to call, which an account counts for itself."""
    kind = METERS[meter]
    way, price = written_price(schema, meter, unit, path, findings)
    if schema.block is None:
        findings.fault((*path, "block"), "is missing: what is `carried` is what is left of a block")
    for name in (*_OF_PERIODS, "included", "least"):
        if getattr(schema, name):
            findings.fault((*path, name), "cannot stand beside a block that is carried over calls")
    tiers = Tiers(f"{OWN}{meter}", schema.carried or "total", (Tier(0, decimal_string(price)),))
    steps = (Step("carry", str((schema.block or 1) * kind.scale)),)
    return Rate(meter, price, PERS[way] * kind.scale, steps, tiers)


def with_own_counters(rates: Iterable[Rate], card: str) -> tuple[Rate, ...]:
    """The rates of a card, taken over or not: what is counted for itself has the card's name."""
    return tuple(
        replace(rate, tiers=replace(rate.tiers, counter=f"{card}{OWN}{rate.meter}"))
        if rate.tiers is not None and OWN in rate.tiers.counter
        else rate
        for rate in rates
    )


def check_counters(cards: Sequence[RateCard], findings: Findings) -> None:
    """Faults of counters that several rates name: these must count the same, for as long.

    What rolls over is one allowance, so that all of them must say the same of it.
    """
    allowances: dict[str, tuple[tuple[int, int], str]] = {}
    first: dict[str, tuple[tuple[str, int], str, str]] = {}
    for card in cards:
        for rate in _counted_rates(card):
            assert rate.tiers is not None
            counter, kind = rate.tiers.counter, METERS[rate.meter]
            mine = (kind.noun, kind.scale)
            unit, period, name = first.setdefault(counter, (mine, rate.tiers.period, card.id))
            place = ("rate_cards", card.id, "rates", rate.meter)
            if OWN in counter:
                continue
            if mine != unit:
                message = f"counts {unit[0]}s in {name!r} and {kind.noun}s here; each needs its own"
                findings.fault((*place, "counter"), message, counter)
            elif rate.tiers.period != period:
                message = f"must be {period}, as the counter {counter!r} has it in {name!r}"
                findings.fault((*place, "period"), message, rate.tiers.period)
            rolling = (rate.tiers.tiers[0].upto, rate.tiers.rolls)
            first_rolling, name = allowances.setdefault(counter, (rolling, card.id))
            if rolling != first_rolling and (rolling[1] or first_rolling[1]):
                message = f"must be as the counter {counter!r} has it in {name!r}, and so must `free`"
                findings.fault((*place, "rolls_over"), message)


def _counted_rates(card: RateCard) -> Iterator[Rate]:
    variants = (variant for version in card.versions for variant in version.variants)
    yield from (rate for variant in variants for rate in variant.rates if rate.tiers is not None)


def _priced(
    meter: str, schema: RateSchema, unit: Unit, path: Path, findings: Findings
) -> tuple[str, list[tuple[int, Fraction]]]:
    """How all prices are written, and the bound and the price of each tier."""
    key = "volume_tiers" if schema.volume_tiers else "tiers"
    tiers: list[TierSchema] = schema.volume_tiers or schema.tiers
    if not tiers:
        way, price = written_price(schema, meter, unit, path, findings)
        return way, [(schema.free or 0, NO_PRICE), (0, price)]
    ways: list[str] = []
    priced: list[tuple[int, Fraction]] = []
    for index, tier in enumerate(tiers):
        place = (*path, key, index)
        way, price = written_price(tier, meter, unit, place, findings)
        before, is_last = priced[-1][0] if priced else 0, index == len(tiers) - 1
        if is_last and tier.upto is not None:
            findings.fault((*place, "upto"), "must be left out: the last tier has no end", tier.upto)
        elif not is_last and tier.upto is None:
            findings.fault((*place, "upto"), "is missing; only the last tier has no end")
        elif not is_last and (tier.upto or 0) <= before:
            findings.fault((*place, "upto"), f"must be more than {before}", tier.upto)
        if ways and way != ways[0]:
            findings.fault(place, f"must be written {ways[0]}, as the tiers before it")
        if priced and schema.volume_tiers and price > priced[-1][1]:
            message = "must not be more than in the tier before it: what was used before is priced anew"
            findings.fault((*place, way), message)
        ways.append(way)
        priced.append((0 if is_last else tier.upto or before + 1, price))
    return ways[0], priced


def _check(schema: RateSchema, path: Path, findings: Findings) -> None:
    """Faults of a rate with tiers beside those of each tier."""
    given = [name for name in ("tiers", "volume_tiers") if getattr(schema, name)]
    if len(given) > 1:
        findings.fault((*path, "volume_tiers"), "cannot stand beside `tiers`: a unit has one price")
    if given and any(getattr(schema, way) is not None for way in PERS):
        findings.fault(path, f"has a price beside `{given[0]}`; the last tier has that of all further units")
    if given and schema.free is not None:
        findings.fault((*path, "free"), f"is the first of the `{given[0]}`, at a price of 0", schema.free)
    if schema.period is None:
        findings.fault((*path, "period"), "is missing: the day, week, month or total that is counted")
    for name in _OF_CALLS:
        if getattr(schema, name) is not None:
            findings.fault((*path, name), "cannot stand beside what is counted over calls")
    if schema.rolls_over is not None and (given or schema.free is None):
        findings.fault((*path, "rolls_over"), "is of `free` units, and there are none", schema.rolls_over)
    elif schema.rolls_over is not None and schema.period == "total":
        findings.fault((*path, "rolls_over"), "needs periods that end; `total` never does", schema.rolls_over)
    if schema.volume_tiers and schema.counter is not None:
        message = "cannot be shared by volume tiers, which price anew what was used before by this rate alone"
        findings.fault((*path, "counter"), message, schema.counter)
