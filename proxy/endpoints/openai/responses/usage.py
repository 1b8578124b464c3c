"""Usage objects of responses, read: as those of chats under other names, and what tools have used."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.usage import UsageReport
from proxy.endpoints.tallies.uses import TELLING

_NAMES: Final[Mapping[str, str]] = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
    **{name: name for name in TELLING},
}
_LONG: Final = "cache_write_12h_tokens"
_WRITTEN: Final = "cache_write_tokens"


class ResponseUsage(UsageReport):
    """What an upstream has reported: the largest figure of each field in several usage objects, never a sum.

    `{"tool_usage": {...}}` tells what the upstream did by itself.
    """

    __slots__ = ()

    def add(self, usage: object) -> None:
        """Take one usage object into account; anything that is no object is an anomaly, except null."""
        if not isinstance(usage, dict):
            super().add(usage)
            return
        super().add({_NAMES[name]: value for name, value in usage.items() if name in _NAMES})
        details = _within(usage, "input_tokens_details")
        self._note(_LONG, _within(details, "cache_write_tokens_details").get("ttl_12h_tokens"))

    def reading(self) -> Reading | None:
        """As of chats. What was written to a cache for long is not counted again among the short-lived."""
        reading = super().reading()
        if reading is None:
            return None
        written, long = reading.usage.get(_WRITTEN, 0), self._fields.get(_LONG, 0)
        if long := min(written, long):
            reading.usage[_LONG] = long
            reading.usage[_WRITTEN] = written - long
        return reading


def _within(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = holder.get(name)
    return inner if isinstance(inner, dict) else {}
