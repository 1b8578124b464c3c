"""Runs: calls that are billed together, with one markup on what all of them cost."""

from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge
from proxy.pricing.rates import Adjustment
from proxy.pricing.steps import Step, carried, due

RUN: Final = "/"
"""Begins the name of the counter of a run, and of no other."""
RUN_MARKUP: Final = "run_markup"


class RunSum(msgspec.Struct, frozen=True):
    """What the calls of a run cost by now, and its markup, which is rounded once on all of them."""

    id: str
    subtotal_nano: int
    markup_nano: int

    @property
    def total_nano(self) -> int:
        """All of it."""
        return self.subtotal_nano + self.markup_nano


def in_run(card: RateCard, run_id: str, share: str) -> RateCard:
    """The card for a call of a run with a markup of this share, an exact decimal number."""
    markup = Adjustment(RUN_MARKUP, Step("run_share", share, run_id))
    return replace(card, adjustments=(*card.adjustments, markup))


def run_after(charge: Charge) -> RunSum | None:
    """What a settled charge has made of its run; None for a call of none."""
    line = charge.lines[-1] if charge.lines else None
    if line is None or (before := carried(line)) is None:
        return None
    counted = next(step for step in line.steps if step.kind == "counted")
    subtotal_nano = int(counted.value) + line.quantity
    return RunSum(counted.name.removeprefix(RUN), subtotal_nano, round(before + due(line)))
