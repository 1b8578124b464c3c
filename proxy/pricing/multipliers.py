"""Multipliers of rates, each with a name on the lines of a charge, and what they leave as it is.

Where discounts do not add up, the largest counts alone, and the steps of the others say that they do not. All
come in this order: the flags of a call's parameters, the hours, the group, the share that is charged
on a key of the caller's own, and the service tiers. What
comes after all rates is a markup, what bounds a charge, and the markup of a run.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

import msgspec

from proxy.metering.usage import SURCHARGES
from proxy.pricing.rates import Discounts, Rate


class Flag(msgspec.Struct, frozen=True):
    """What multiplies the rates of a call whose parameters say so, but for those of some meters."""

    name: str
    multiplier: str
    spares: tuple[str, ...] = ()

    def over(self, rates: Iterable[Rate], discounts: Discounts) -> tuple[Rate, ...]:
        """Rates, multiplied."""
        return multiplied(rates, self.multiplier, f"flag {self.name}", self.spares, discounts)


class TierTerms(msgspec.Struct, frozen=True):
    """What a service tier changes but by its multiplier.

    It leaves the rates of the meters that it `spares` as they are, and has `rates` of its own in place of
    others. What `stacks` multiplies beside another tier that a call is at as well.
    """

    tier: str
    spares: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()
    stacks: bool = False


def multiplied(
    rates: Iterable[Rate], multiplier: str, of: str, spares: Collection[str], discounts: Discounts
) -> tuple[Rate, ...]:
    """Rates, multiplied for the sake `of` something, but for those of meters that it `spares`."""
    return tuple(
        rate if rate.meter in spares else rate.multiplied(multiplier, of, discounts) for rate in rates
    )


def tiers_together(tiers: Collection[str], all_terms: Iterable[TierTerms]) -> dict[str, tuple[str, ...]]:
    """The service tiers that a call can be at, alone or several that stack, by their names with a plus."""
    stacking = sorted(terms.tier for terms in all_terms if terms.stacks)
    together = (names for size in range(2, len(stacking) + 1) for names in combinations(stacking, size))
    one_more = (
        tuple(sorted((tier, *names)))
        for size in range(1, len(stacking) + 1)
        for names in combinations(stacking, size)
        for tier in tiers
        if tier not in stacking
    )
    stacked = {"+".join(names): names for names in (*together, *one_more)}
    return stacked | {tier: (tier,) for tier in tiers}


def at_tiers(
    rates: Iterable[Rate], tiers: Sequence[tuple[TierTerms, str]], discounts: Discounts
) -> tuple[Rate, ...]:
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
    found = tuple(rate for each in by_meter.values() for rate in each)
    for terms, multiplier in tiers:
        kept = {*SURCHARGES, *terms.spares, *(meter for meter, tier in owners.items() if tier == terms.tier)}
        found = multiplied(found, multiplier, f"service tier {terms.tier}", kept, discounts)
    return found
