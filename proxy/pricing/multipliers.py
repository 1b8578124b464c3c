"""Multipliers of rates, each with a name on the lines of a charge, and what they leave as it is.

They come in this order: the flags of a call's parameters, the hours, the group, the share that is charged
on a key of the caller's own, and the service tiers. What
comes after all rates is a markup, what bounds a charge, and the markup of a run.
"""

from collections.abc import Iterable, Sequence

import msgspec

from proxy.metering.usage import SURCHARGES
from proxy.pricing.rates import Rate


class Flag(msgspec.Struct, frozen=True):
    """What multiplies the rates of a call whose parameters say so, but for those of some meters."""

    name: str
    multiplier: str
    spares: tuple[str, ...] = ()

    def over(self, rates: Iterable[Rate]) -> tuple[Rate, ...]:
        """Rates, multiplied."""
        return tuple(
            rate if rate.meter in self.spares else rate.multiplied(self.multiplier, f"flag {self.name}")
            for rate in rates
        )


class TierTerms(msgspec.Struct, frozen=True):
    """What a service tier changes but by its multiplier.

    It leaves the rates of the meters that it `spares` as they are, and has `rates` of its own in place of
    others. What `stacks` multiplies beside another tier that a call is at as well.
    """

    tier: str
    spares: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()
    stacks: bool = False


def at_tiers(rates: Iterable[Rate], tiers: Sequence[tuple[TierTerms, str]]) -> tuple[Rate, ...]:
    """Rates at one service tier, or at several together, each with what it multiplies by.

    Rates of a tier's own take the place of the others of their meters, the first one's where several have
    some, and are multiplied by the other tiers.
    """
    by_meter: dict[str, list[Rate]] = {}
    for rate in rates:
        by_meter.setdefault(rate.meter, []).append(rate)
    owners: dict[str, str] = {}
    for terms, _ in tiers:
        own = [rate for rate in terms.rates if rate.meter not in owners]
        by_meter |= {rate.meter: [other for other in own if other.meter == rate.meter] for rate in own}
        owners |= {rate.meter: terms.tier for rate in own}
    found = [rate for each in by_meter.values() for rate in each]
    for terms, multiplier in tiers:
        kept = {*SURCHARGES, *terms.spares, *(meter for meter, tier in owners.items() if tier == terms.tier)}
        name = f"service tier {terms.tier}"
        found = [rate if rate.meter in kept else rate.multiplied(multiplier, name) for rate in found]
    return tuple(found)
