"""Tools: any request to a configured path, any reply, metered as the plan of its route says."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers, Tally
from proxy.endpoints.features import Feature, rate_key
from proxy.endpoints.formulas import NOTHING_KNOWN, Known
from proxy.endpoints.tallies.tool import ToolTally
from proxy.endpoints.tool_jobs import JobTally
from proxy.endpoints.tool_plan import PLAIN, ToolPlan, ToolRequest, known_parts, parameters_of, quantities
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import ONE_CALL, Usage

ENDPOINT: Final = "tools"
"""The one endpoint name of all tools."""


class ToolAsk(msgspec.Struct, frozen=True, dict=True):
    """One call of a tool; its body can be anything.

    `fixed` is what the request itself says that it uses, `most` what its answer may come to, and `known` what
    it says of formulas, by meter.
    """

    model: str
    body: bytes
    plan: ToolPlan
    fixed: Usage
    most: Usage
    parameters: Mapping[str, str]
    stream: bool = False
    end_user: str = ""
    labels: str = ""
    known: Mapping[str, Known] = NOTHING_KNOWN

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """Each measure needs its rate; what the answer tells is held as far as it may go."""
        return tuple(
            Feature(
                measure.source.name,
                measure.meter,
                (rate_key(measure.meter),),
                allowed={meter: most for meter, most in self.most.items() if meter == measure.meter},
            )
            for measure in self.plan.measures
        )

    def ceiling(self) -> Ceiling:
        """One call, and what the request says."""
        return Ceiling({**ONE_CALL, **self.fixed})

    def ceiling_exact(self) -> Ceiling:
        """The same."""
        return self.ceiling()

    def estimate(self, model: str) -> Usage:  # noqa: ARG002 - no model reads it.
        """The same."""
        return {**ONE_CALL, **self.fixed}

    def input_text_length(self) -> int:
        """Nothing is counted."""
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:  # noqa: ARG002 - a tool knows neither models nor bounds.
        """The client's body as it is."""
        return self.body

    def tally(self, *, keep_usage: bool = False) -> Tally:  # noqa: ARG002 - there is no usage to keep.
        """A fresh tally."""
        measures = tuple(measure for measure in self.plan.measures if not measure.is_of_request)
        assumed = {
            measure.meter: measure.assumed(self.most[measure.meter], self.known.get(measure.meter, ()))
            for measure in measures
        }
        if self.plan.job is not None:
            return JobTally(self.plan, self.plan.job, assumed)
        return ToolTally(measures, assumed, self.plan.failure, self.known)


class ToolEndpoint:
    """A configured path. `route` is the route's name; receipts have it in place of a model."""

    name = ENDPOINT

    def __init__(
        self, route: str, path: str, plan: ToolPlan = PLAIN, *, query: str = "", repeatable: bool = False
    ) -> None:
        self.path = path
        self.upstream_path = path
        self.repeatable = repeatable
        self.meters = tuple(measure.meter for measure in plan.measures) or tuple(ONE_CALL)
        self._route = route
        self._plan = plan
        self._query = query

    def read(self, body: bytes, headers: Headers = ()) -> ToolAsk:
        """Take any bytes; those that tell a figure are read.

        Raises Refusal `invalid_json` or `invalid_value` for a figure that cannot be read, or is not sane.
        """
        plan = self._plan
        request = ToolRequest(plan, body, headers, self._query)
        known = known_parts(plan, request)
        fixed, most = quantities(plan, request, known)
        return ToolAsk(self._route, body, plan, fixed, most, parameters_of(plan, request), known=known)
