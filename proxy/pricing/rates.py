"""Rates: what one unit of each meter costs the caller, exactly, and what comes after all of them."""

from fractions import Fraction
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.pricing.steps import OF_QUANTITY, Step, largest_alone, said_of, times
from proxy.pricing.tiers import Tiers

BillingType = Literal["per_call", "per_token", "metered"]
Discounts = Literal["multiply", "largest"]
"""What several multipliers below 1 come to: all of them multiply, or the smallest alone."""


class Term(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rate or an adjustment of a card as a row keeps it: an adjustment has no price and is for no units."""

    meter: str
    price_nano: str
    per: int
    steps: tuple[Step, ...] = ()
    tiers: Tiers | None = None


class Rate(msgspec.Struct, frozen=True):
    """`price` nano-USD for `per` units of `meter`; the price may be a fraction of a nano-dollar.

    Its steps say for which calls it is, what is billed of a quantity, and what multiplies the price. With
    `tiers` the price is that of the dearest.
    """

    meter: str
    price: Fraction
    per: int
    steps: tuple[Step, ...] = ()
    tiers: Tiers | None = None

    def multiplied(self, multiplier: str, of: str, discounts: Discounts = "multiply") -> "Rate":
        """The rate, multiplied with an exact decimal number for the sake `of` something."""
        steps = (*self.steps, Step("times", multiplier, of))
        return replace(self, steps=largest_alone(steps) if discounts == "largest" else steps)

    @property
    def said(self) -> str:
        """Its steps and tiers as a text, for the version of a card."""
        return said_of(self.steps) + (self.tiers.said if self.tiers is not None else "")

    @property
    def unit_nano(self) -> Fraction:
        """Exact nano-USD of one unit that is billed."""
        return self.price / self.per * times(self.steps) if self.steps else self.price / self.per

    @property
    def slack(self) -> int:
        """How many units more than were used can be billed at most."""
        return sum(
            int(step.number) - (step.kind in ("block", "carry"))
            for step in self.steps
            if step.kind in OF_QUANTITY and step.kind != "less"
        )


ADJUSTMENTS: Final = ("markup", "least_charge", "most_charge")
"""What may come after all rates, in this order: what bounds a charge bounds its markup as well."""


class Adjustment(msgspec.Struct, frozen=True):
    """A line of its own after all rates: a markup on their sum, or what bounds the charge of a call."""

    name: str
    step: Step
