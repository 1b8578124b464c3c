"""Requests that cost nothing: only their rate is limited, and whether the caller has funds at all."""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Reading, Tally
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Usage

_NO_REQUEST: Final[Usage] = {"requests": 0}
"""What is free is no request that a rate card could price."""
_NOTHING: Final = Ceiling(_NO_REQUEST)


class FreeTally(WholeTally):
    """The tally of a reply that costs nothing."""

    def __init__(self) -> None:
        super().__init__(has_output=False)

    def reported(self) -> Reading:
        """No request that could be charged."""
        return Reading(dict(_NO_REQUEST))


class FreeAsk(msgspec.Struct, frozen=True):
    """One request that is free, of a JSON body with a model."""

    body: JsonBody
    model: str
    stream: bool = False
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def ceiling(self) -> Ceiling:
        """Nothing."""
        return _NOTHING

    def ceiling_exact(self) -> Ceiling:
        """Nothing."""
        return _NOTHING

    def estimate(self, model: str) -> Usage:  # noqa: ARG002 - it is free with every model.
        """Nothing."""
        return _NO_REQUEST

    def input_text_length(self) -> int:
        """Nothing is counted here."""
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        renamed = plan.model != self.model
        return self.body.patched({"model": msgspec.json.encode(plan.model)} if renamed else {})

    def tally(self, *, keep_usage: bool = False) -> Tally:  # noqa: ARG002 - it has no usage.
        """A fresh tally."""
        return FreeTally()
