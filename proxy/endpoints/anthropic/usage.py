"""Usage objects in Anthropic's form, read.

What was written to a cache and what was read from one are counted beside `input_tokens` there, and within it
here. The figures of a stream grow, so that the largest of each stands.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.figures import Figures
from proxy.metering.usage import MAX_QUANTITY

_INPUT: Final = "input_tokens"
_OUTPUT: Final = "output_tokens"
_READ: Final = "cache_read_input_tokens"
_WRITTEN: Final = "cache_creation_input_tokens"
_WHOLES: Final = (_INPUT, _OUTPUT, _READ, _WRITTEN)
_SHORT: Final = "ephemeral_5m_input_tokens"
_LONG: Final = "ephemeral_1h_input_tokens"
_SEARCHES: Final = "web_search_requests"
_THOUGHTS: Final = ("thinking_tokens", "reasoning_tokens")

ROUNDS_MAX: Final = 1_024
"""How many answers within one call are added up."""

_WITHIN: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_creation": (_SHORT, _LONG),
    "server_tool_use": (_SEARCHES,),
    "output_tokens_details": _THOUGHTS,
}
"""The figures within members that are objects."""


class MessageUsage(Figures):
    """What an upstream has reported."""

    __slots__ = ()

    def add(self, usage: object) -> None:
        """Take one usage object into account; anything that is no object is an anomaly, except null."""
        if not isinstance(usage, dict):
            self._note_holder("usage", usage)
            return
        fields = dict(self._figures(usage))
        # A call that wrote a summary on its way has one object for each answer, of which the outer is one.
        rounds = [dict(self._figures(each)) for each in _rounds(usage)]
        for name in {*fields, *(name for each in rounds for name in each)}:
            total = sum(each.get(name, 0) for each in rounds)
            if total > MAX_QUANTITY:
                self._odd.add(name)
                total = 0
            self._fields[name] = max(fields.get(name, 0), total, self._fields.get(name, 0))

    def _figures(self, usage: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        for name in _WHOLES:
            yield from self._figure(name, usage.get(name))
        for holder, names in _WITHIN.items():
            inner = usage.get(holder)
            if isinstance(inner, dict):
                for name in names:
                    yield from self._figure(name, inner.get(name))
            else:
                self._note_holder(holder, inner)

    def _figure(self, name: str, value: object) -> Iterator[tuple[str, int]]:
        if (quantity := self._sane(name, value)) is not None:
            yield name, quantity

    def reading(self) -> Reading | None:
        """Input with all that was cached, and output; None when neither was reported."""
        fields = self._fields
        if fields.keys().isdisjoint(_WHOLES):
            return None
        long = fields.get(_LONG, 0)
        written = max(fields.get(_WRITTEN, 0), fields.get(_SHORT, 0) + long)
        cached = fields.get(_READ, 0)
        usage: dict[str, int] = {}
        if _INPUT in fields or written or cached:
            usage["input_tokens"] = fields.get(_INPUT, 0) + written + cached
        if _OUTPUT in fields:
            usage["output_tokens"] = fields[_OUTPUT]
        thoughts = min(max(fields.get(name, 0) for name in _THOUGHTS), fields.get(_OUTPUT, 0))
        parts = {
            "cached_input_tokens": cached,
            "cache_write_tokens": written - long,
            "cache_write_1h_tokens": long,
            "reasoning_tokens": thoughts,
        }
        usage |= {name: part for name, part in parts.items() if part}
        # That there was none is told as well: then none is charged, whatever the answer has.
        if _SEARCHES in fields:
            usage["web_searches"] = fields[_SEARCHES]
        return Reading(usage, len(self._odd))

    def input_reading(self) -> Reading | None:
        """The same: every answer of this form has output."""
        return self.reading()


def _rounds(usage: Mapping[str, Any]) -> list[dict[str, Any]]:
    rounds = usage.get("iterations")
    return (
        [each for each in rounds[:ROUNDS_MAX] if isinstance(each, dict)] if isinstance(rounds, list) else []
    )
