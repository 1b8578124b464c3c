"""Usage objects of calls about sound, read: tokens, under the names of any of OpenAI's APIs, and seconds."""

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.usage import UsageReport
from proxy.metering.usage import sane_quantity

SECONDS: Final = "seconds"
_SECONDS: Final = (SECONDS, "prompt_audio_seconds")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")
_NAMES: Final[Mapping[str, str]] = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_token_details": "prompt_tokens_details",
    "input_tokens_details": "prompt_tokens_details",
    "output_token_details": "completion_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""What is called so here, by its name in chats."""


class SoundUsage:
    """What an upstream has reported: tokens as `UsageReport` reads them, and the most seconds it told.

    Seconds are rounded up to whole ones. With `speaks` all output is sound.
    """

    __slots__ = ("_odd", "_seconds", "_speaks", "_tokens")

    def __init__(self, *, speaks: bool = False) -> None:
        self._tokens = UsageReport()
        self._speaks = speaks
        self._seconds = 0
        self._odd = 0

    @property
    def anomalies(self) -> int:
        """How many figures were no sane quantities."""
        return self._tokens.anomalies + bool(self._odd)

    def add(self, usage: object) -> None:
        """Take one usage object into account; null is none."""
        if not isinstance(usage, dict):
            self._tokens.add(usage)
            return
        for name in _SECONDS:
            if (told := usage.get(name)) is not None:
                self._add_seconds(told)
        self._tokens.add(_as_in_chats(usage))

    def _add_seconds(self, told: object) -> None:
        if isinstance(told, str) and _DECIMAL.fullmatch(told):
            told = float(told)
        seconds = sane_quantity(told)
        if seconds is None:
            self._odd += 1
        else:
            self._seconds = max(self._seconds, seconds)

    def reading(self) -> Reading | None:
        """Tokens and seconds as reported; None when neither was."""
        tokens = self._tokens.reading()
        usage = dict(tokens.usage) if tokens is not None else {}
        if self._seconds:
            usage["audio_seconds"] = self._seconds
        if not usage:
            return None
        if self._speaks and "output_tokens" in usage:
            usage["output_audio_tokens"] = usage["output_tokens"]
        return Reading(usage, self.anomalies, tokens.inferred if tokens is not None else {})

    def input_reading(self) -> Reading | None:
        """The same: what is not output is told by the meters."""
        return self.reading()


def _as_in_chats(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): value for name, value in usage.items() if name not in _SECONDS}
