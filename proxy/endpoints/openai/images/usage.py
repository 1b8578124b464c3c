"""Usage of pictures, read: that of what was drawn, and that of another model that wrote an SVG from it."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.usage import UsageReport
from proxy.metering.usage import MAX_QUANTITY, sane_quantity

WRITTEN: Final = "svg_usage"
"""The member that has the usage of what an SVG was written with, which is billed beside the picture's own."""

_DETAILS: Final = "output_tokens_details"
_OUTPUT: Final = "output_tokens"
_DRAWN: Final = "output_image_tokens"
_THOUGHT: Final = "reasoning_tokens"
_NAMES: Final[Mapping[str, str]] = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    _OUTPUT: "completion_tokens",
    _DETAILS: "completion_tokens_details",
}
"""What the figures are called here, with their names in a chat's usage."""


class ImageUsage:
    """What an upstream has reported: the largest figure of each field in several usage objects, never a sum.

    An object whose only member is `WRITTEN` has the usage of an SVG, which adds to that of its picture.
    """

    __slots__ = ("_drawn", "_text", "_written")

    def __init__(self) -> None:
        self._drawn = UsageReport()
        self._written = UsageReport()
        self._text = 0

    def add(self, usage: object) -> None:
        """Take one usage object into account; null is none."""
        if isinstance(usage, dict) and usage.keys() == {WRITTEN}:
            _add(self._written, _with_thoughts(usage[WRITTEN]))
            return
        _add(self._drawn, usage)
        details = usage.get(_DETAILS) if isinstance(usage, dict) else None
        if isinstance(details, dict):
            self._text = max(self._text, sane_quantity(details.get("text_tokens")) or 0)

    @property
    def anomalies(self) -> int:
        """How many figures were no sane quantities."""
        return self._drawn.anomalies + self._written.anomalies

    def reading(self) -> Reading | None:
        """All that was reported; None for nothing. Output that is told to be nothing else is of pictures."""
        drawn, written = self._drawn.reading(), self._written.reading()
        if drawn is None or written is None:
            return written if drawn is None else self._with_pictures(drawn)
        drawn = self._with_pictures(drawn)
        usage = {
            meter: min(MAX_QUANTITY, drawn.usage.get(meter, 0) + written.usage.get(meter, 0))
            for meter in {**drawn.usage, **written.usage}
        }
        return Reading(usage, drawn.anomalies + written.anomalies, {**written.inferred, **drawn.inferred})

    def input_reading(self) -> Reading | None:
        """The same: every answer has output."""
        return self.reading()

    def _with_pictures(self, drawn: Reading) -> Reading:
        """Without a figure for its pictures, all output is that is neither text nor thoughts."""
        usage = drawn.usage
        if _OUTPUT in usage and _DRAWN not in usage:
            rest = usage[_OUTPUT] - self._text - usage.get(_THOUGHT, 0)
            if rest > 0:
                usage[_DRAWN] = rest
        return drawn


def _add(report: UsageReport, usage: object) -> None:
    """Add a usage object by its own names, and by those of a chat, which some servers use."""
    report.add(usage)
    if isinstance(usage, dict):
        report.add({chat: usage[name] for name, chat in _NAMES.items() if name in usage})


def _with_thoughts(written: object) -> object:
    """The usage of an SVG with its thoughts among the details of its output, where all others have them."""
    if not isinstance(written, dict) or _THOUGHT not in written:
        return written
    return {_DETAILS: {_THOUGHT: written[_THOUGHT]}, **written}
