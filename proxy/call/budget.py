"""The output budget: what the hold of a call leaves for output."""

import msgspec

from proxy.call.base import Admitted
from proxy.pricing.charge import affordable


class Room(msgspec.Struct, frozen=True, gc=False):
    """What a hold leaves for output. `tokens` is what it pays for, over all choices; None: as many as come.

    `clamped_to` is the bound for each choice where the hold does not pay for all that was asked.
    """

    tokens: int | None = None
    clamped_to: int | None = None


def room_of(admitted: Admitted) -> Room:
    """What the hold leaves for output: all that was asked, or less where it had to be clamped."""
    card, ceiling = admitted.errand.card, admitted.ceiling
    asked = ceiling.get("output_tokens")
    if asked is None or "output_tokens" not in card.worst_weights:
        return Room()
    if admitted.granted.hold_nano >= admitted.ceiling_nano:
        return Room(asked)
    choices = admitted.errand.ask.choices
    each = affordable(card, admitted.granted.hold_nano, ceiling, "output_tokens", choices)
    return Room(each * choices, each)
