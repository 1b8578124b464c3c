"""Per-call APIs: any request to a configured path, any reply, one price for each call that succeeds."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import ForwardPlan, Headers, Reading
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import ONE_CALL, Usage

ENDPOINT: Final = "tools"
"""The one endpoint name of all per-call APIs."""

_CEILING: Final = Ceiling(ONE_CALL)
_NOTHING: Final[Usage] = {}


class ToolTally:
    """Passes bytes on, and keeps back the last piece: no client gets a whole answer that is not charged.

    Nothing within the reply says whether it is whole: it is, when its bytes have ended properly.
    """

    done = False
    choices_finished = False
    complete = True
    failed = False
    anomalies = 0
    produced_size = 0
    has_data = False
    pending_bytes = 0

    def __init__(self) -> None:
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        """The piece before this one."""
        if not chunk:
            return b""
        passing, self._last = self._last, chunk
        return passing

    def finish(self) -> None:
        """Nothing is left to read."""

    def tail(self, cost: str | None = None) -> bytes:  # noqa: ARG002 - there is no usage object to put it in.
        """The last piece, without a cost: Farebox does not know the form of the reply."""
        return self._last

    def reported(self) -> Reading:
        """One call."""
        return Reading(dict(ONE_CALL))

    def output_text(self) -> str:
        """No text of a model."""
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:  # noqa: ARG002 - there is no text.
        """Nothing that is metered."""
        return _NOTHING


class ToolAsk:
    """One call of a tool; its body can be anything."""

    stream = False
    end_user = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def __init__(self, model: str, body: bytes) -> None:
        self.model = model
        self._body = body

    def ceiling(self) -> Ceiling:
        """One call."""
        return _CEILING

    def ceiling_exact(self) -> Ceiling:
        """One call."""
        return _CEILING

    def estimate(self, model: str) -> Usage:  # noqa: ARG002 - no model reads it.
        """One call."""
        return ONE_CALL

    def input_text_length(self) -> int:
        """Nothing is counted."""
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:  # noqa: ARG002 - a tool knows neither models nor bounds.
        """The client's body as it is."""
        return self._body

    def tally(self, *, keep_usage: bool = False) -> ToolTally:  # noqa: ARG002 - there is no usage to keep.
        """A fresh tally."""
        return ToolTally()


class ToolEndpoint:
    """A configured path. `route` is the route's name; receipts have it in place of a model."""

    name = ENDPOINT
    meters = ("requests",)

    def __init__(self, route: str, path: str, *, repeatable: bool = False) -> None:
        self.path = path
        self.upstream_path = path
        self.repeatable = repeatable
        self._route = route

    def read(self, body: bytes, headers: Headers = ()) -> ToolAsk:  # noqa: ARG002 - every call has one price.
        """Take any bytes."""
        return ToolAsk(self._route, body)
