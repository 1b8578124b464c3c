"""The output budget: what the hold of a call leaves for output."""

import msgspec

from proxy.call.base import AdmittedCall
from proxy.pricing.charge import affordable


class OutputBudget(msgspec.Struct, frozen=True, gc=False):
    """What a hold leaves for output. `total` is what it pays for, over all choices; None: as much as comes.

    `clamped_to` is the bound for each choice where the hold does not pay for all that was asked.
    """

    total: int | None = None
    clamped_to: int | None = None


def budget_of(admitted: AdmittedCall) -> OutputBudget:
    """What the hold leaves for output: all that was asked, or less where it had to be clamped."""
    card, ceiling = admitted.routed.terms.card, admitted.ceiling
    if ceiling.elastic is None or ceiling.elastic not in card.worst_weights:
        return OutputBudget()
    if admitted.granted.hold_nano >= admitted.ceiling_nano:
        return OutputBudget(ceiling.elastic_total)
    each = affordable(
        card,
        admitted.granted.hold_nano,
        ceiling.usage,
        ceiling.elastic,
        ceiling.choices,
        beside=ceiling.beside,
    )
    return OutputBudget(each * ceiling.choices + ceiling.beside, each)
