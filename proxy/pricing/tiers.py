"""Tiers: prices that depend on how much of a period an account has used before."""

import hashlib
from datetime import date
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

Period = Literal["day", "week", "month", "total"]
"""How long a counter counts, by the UTC date on which a call is authorized; `total` is for ever."""
_EPOCH: Final = date(1970, 1, 1).toordinal()
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

    Where up to `rolls` units roll over, they are of the first tier, which is free: what a period leaves of it
    is added to that of the next one, and this to the one after. Such a counter counts for ever.
    """

    counter: str
    period: Period
    tiers: tuple[Tier, ...]
    is_volume: bool = False
    is_share: bool = False
    rolls: int = 0

    @property
    def window(self) -> Period:
        """The period that its counter counts for."""
        return "total" if self.rolls else self.period

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
        rolls = f" rolls {self.rolls}" if self.rolls else ""
        return f";{'volume ' if self.is_volume else ''}tiers {tiers} of {self.counter} a {self.period}{rolls}"


class Rolled(msgspec.Struct, frozen=True, array_like=True):
    """A period of an allowance that rolls over: its first day, and what the counter had as it began.

    `free` units are its own, and `rolled` were left of those before, of at most `most`.
    """

    first_day: int
    begun: int
    free: int
    rolled: int
    most: int

    @property
    def until(self) -> int:
        """The last unit that is free, as the counter counts."""
        return self.begun + self.free + self.rolled

    def after(self, used: int, period: Period, first_day: int, *, free: int, most: int) -> "Rolled":
        """The period that begins on a day, once the counter has so much: a later one, or this one still.

        What is left of each one between is all that it gives, and none keeps more than `most`.
        """
        if first_day <= self.first_day:
            return self
        missed = periods_between(period, self.first_day, first_day) - 1
        left = min(most, max(0, self.until - used))
        return Rolled(first_day, used, free, min(most, left + missed * free), most)


def rolled_to(before: "Count", tiers: Tiers, first_day: int) -> Rolled:
    """The period of an allowance that rolls over in which the next unit falls.

    To the first one that an account uses any of, nothing is left of others.
    """
    rolled, free = before.volume.rolled, tiers.tiers[0].upto
    if isinstance(rolled, UnsetType):
        return Rolled(first_day, before.quantity, free, 0, tiers.rolls)
    return rolled.after(before.quantity, tiers.period, first_day, free=free, most=tiers.rolls)


def periods_between(period: Period, first_day: int, later_day: int) -> int:
    """How many periods after that of one first day that of another one is."""
    if period == "month":
        first, later = (date.fromordinal(_EPOCH + day) for day in (first_day, later_day))
        return (later.year - first.year) * 12 + later.month - first.month
    return (later_day - first_day) // (7 if period == "week" else 1)


class Volume(msgspec.Struct, frozen=True):
    """What tiers need of a period so far beside what was counted, in exact numbers.

    `weighted` units were priced by the tiers of the digest `prices`, each as often as it was multiplied.
    `credit` nano-USD were given back beyond what calls cost. All three are of volume tiers. `rolled` is the
    present period of an allowance that rolls over.
    """

    prices: str = ""
    weighted: str = "0"
    credit: str = "0"
    rolled: Rolled | UnsetType = UNSET


NO_VOLUME = Volume()


class Count(msgspec.Struct, frozen=True):
    """What a counter has: whole units, and more where tiers are volume tiers."""

    quantity: int = 0
    volume: Volume = NO_VOLUME


@lru_cache(maxsize=1024)
def _digest(tiers: tuple[Tier, ...]) -> str:
    text = ",".join(f"{tier.upto}:{tier.price_nano}" for tier in tiers)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
