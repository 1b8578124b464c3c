"""The reply to a call for a ranking: an object with usage in one of several places, or a bare array."""

from typing import Any, Final

from proxy.endpoints.base import Reading
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, read_body
from proxy.endpoints.reading.steps import first_byte, joined, slices
from proxy.endpoints.tallies.members import Part
from proxy.errors import Refusal
from proxy.metering.usage import sane_quantity

_INPUT: Final = ("total_tokens", "prompt_tokens", "input_tokens")
_UNITS: Final = "search_units"
_BILLED: Final = ("billed_units", "tokens")
"""The usage objects within Cohere's `meta`."""


class RankingPart(Part, frozen=True, gc=False, kw_only=True):
    """A ranking without its documents. `billed` is what Cohere says of it."""

    billed: tuple[Any, ...] = ()

    @property
    def usages(self) -> tuple[Any, ...]:
        """What is at the top level alone: documents that come back may hold anything."""
        return (self.usage, *self.billed)


class RankingUsage:
    """What was reported of a ranking: the largest figure for each meter, floats rounded up."""

    def __init__(self) -> None:
        self._usage: dict[str, int] = {}
        self._odd: set[str] = set()

    @property
    def anomalies(self) -> int:
        """How many figures were no sane quantities."""
        return len(self._odd)

    def add(self, usage: object) -> None:
        """Take one object into account; null is none, anything else an anomaly."""
        if isinstance(usage, dict):
            for name in _INPUT:
                self._note("input_tokens", name, usage.get(name))
            self._note(_UNITS, _UNITS, usage.get(_UNITS))
        elif usage is not None:
            self._odd.add("usage")

    def _note(self, meter: str, name: str, value: object) -> None:
        if value is None:
            return
        quantity = sane_quantity(value)
        if quantity is None:
            self._odd.add(name)
        else:
            self._usage[meter] = max(quantity, self._usage.get(meter, 0))

    def reading(self) -> Reading | None:
        """All that was reported; None for nothing."""
        return Reading(dict(self._usage), len(self._odd)) if self._usage else None

    def input_reading(self) -> Reading | None:
        """The same: a ranking has no output."""
        return self.reading()


def read_ranking(data: bytes) -> RankingPart | None:
    """Read a reply; None for what is neither an object nor an array."""
    if first_byte(data) == b"[":
        data = joined((b'{"results":', *slices(data, 0, len(data)), b"}"))
    try:
        reply = read_body(data)
        meta = _value(reply, "meta")
        return RankingPart(
            usage=_value(reply, "usage"),
            error=_value(reply, "error"),
            object=_text(reply, "object"),
            type=_text(reply, "type"),
            billed=tuple(meta.get(name) for name in _BILLED) if isinstance(meta, dict) else (),
        )
    except Refusal:
        return None


def _value(reply: JsonBody, name: str) -> object:
    """A decoded member; `...` for one that is too long to be what it should be."""
    return ... if reply.bytes_of(name) > LARGE_BYTES else reply.get(name)


def _text(reply: JsonBody, name: str) -> str | None:
    value = _value(reply, name)
    return value if isinstance(value, str) else None
