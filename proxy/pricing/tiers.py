"""Tiers: prices that depend on how much of a period an account has used before."""

import hashlib
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import msgspec

Period = Literal["day", "week", "month", "total"]
"""How long a counter counts, by the UTC date on which a call is authorized; `total` is for ever."""
CounterKey = tuple[str, Period, int]
"""The name of a counter, its period, and the first day of that in days since 1970-01-01; 0 for total."""


class Tier(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A price, an exact decimal number in nano-USD, of the units up to the `upto`th of a period.

    0 is for all others.
    """

    upto: int
    price_nano: str

    @property
    def price(self) -> Fraction:
        """The price as a number."""
        return Fraction(self.price_nano)


class Tiers(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The tiers of a rate, by rising bounds, the last without one. All rates of a counter count together.

    Each unit has the price of its own tier or, with volume tiers, all units of a period that of the tier that
    is reached. Volume tiers never rise. With `is_share` it is the markup of a run, which counts nano-dollars.
    """

    counter: str
    period: Period
    tiers: tuple[Tier, ...]
    is_volume: bool = False
    is_share: bool = False

    def at(self, quantity: int) -> tuple[int, Tier]:
        """The tier of the last of so many units, and the bound of the one before it."""
        floor = 0
        for tier in self.tiers:
            if not tier.upto or quantity <= tier.upto:
                return floor, tier
            floor = tier.upto
        raise AssertionError("the last tier has no bound")

    @property
    def digest(self) -> str:
        """A digest of the prices: equal ones have equal digests everywhere."""
        return _digest(self.tiers)

    @property
    def said(self) -> str:
        """All of it as a text, for the version of a card."""
        tiers = ",".join(f"{tier.upto}:{tier.price_nano}" for tier in self.tiers)
        return f";{'volume ' if self.is_volume else ''}tiers {tiers} of {self.counter} a {self.period}"


class Volume(msgspec.Struct, frozen=True):
    """What volume tiers need of a period so far, in exact numbers.

    `weighted` units were priced by the tiers of the digest `prices`, each as often as it was multiplied.
    `credit` nano-USD were given back beyond what calls cost.
    """

    prices: str = ""
    weighted: str = "0"
    credit: str = "0"


NO_VOLUME = Volume()


class Count(msgspec.Struct, frozen=True):
    """What a counter has: whole units, and more where tiers are volume tiers."""

    quantity: int = 0
    volume: Volume = NO_VOLUME


@lru_cache(maxsize=1024)
def _digest(tiers: tuple[Tier, ...]) -> str:
    text = ",".join(f"{tier.upto}:{tier.price_nano}" for tier in tiers)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
