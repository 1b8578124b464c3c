"""Reads what a model that listens answers: a transcript as JSON or as plain text, or the events of one."""

import codecs
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from proxy.endpoints.openai.sound_usage import SECONDS
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.steps import count_values, slices
from proxy.endpoints.reading.values import VALUES_MAX, value_of
from proxy.endpoints.tallies.members import Choice, OddPart, Part
from proxy.endpoints.tallies.outline import Unreadable, outline_of
from proxy.endpoints.tallies.part import any_json, read_part
from proxy.endpoints.tallies.produced_text import written

_READ: Final = frozenset({"type", "text", "delta", "usage", "duration", "error", "object", "choices"})
"""What is decoded of a large answer; words and segments say again what its text says."""

_DELTA: Final = "transcript.text.delta"
_DONE: Final = "transcript.text.done"
_EVENTS: Final = frozenset({_DELTA, "transcript.text.segment", _DONE})
_TAIL_BYTES: Final = 4_096
_CUE: Final = re.compile(rb"--> {0,9}(?:([0-9]{1,4}):)?([0-9]{1,2}):([0-9]{2})[.,][0-9]")


class TranscriptPart(OddPart, frozen=True, gc=False, kw_only=True):
    """A transcript, or an event of one. `duration` is what it tells beside its usage, in seconds."""

    duration: Any = None
    is_last: bool = False

    @property
    def usages(self) -> tuple[Any, ...]:
        """Its usage, and the duration as one."""
        return (self.usage,) if self.duration is None else (self.usage, {SECONDS: self.duration})

    @property
    def is_foreign(self) -> bool:
        """Never: it has a text."""
        return False

    @property
    def ends(self) -> bool:
        """Whether it is the end itself."""
        return self.is_last


class TranscriptReader:
    """Reads the events of one transcript, or all of it. What is told twice counts once."""

    def __init__(self) -> None:
        self._has_deltas = self._has_segments = False

    def read(self, data: bytes) -> Part | None:
        """Read a JSON object; None for anything else, and for what is nested too deeply."""
        try:
            value = _large(data) if len(data) > LARGE_BYTES else _small(data)
        except (Unreadable, ValueError):
            return None
        if not isinstance(value, dict):
            return None
        kind = value.get("type")
        if kind in _EVENTS:
            return self._event(kind, value)
        text = value.get("text")
        is_whole = isinstance(text, str) and "choices" not in value
        return _part(value, text, is_whole=True) if is_whole else read_part(data)

    def _event(self, kind: str, event: Mapping[str, Any]) -> Part:
        if kind == _DELTA:
            self._has_deltas = True
            return _part(event, event.get("delta"))
        is_last = kind == _DONE
        repeats = self._has_deltas or (is_last and self._has_segments)
        self._has_segments = self._has_segments or not is_last
        return _part(event, None if repeats else event.get("text"), is_last=is_last)


def read_plain(data: bytes) -> Part:
    """A transcript that is text alone. No text is an error: who speaks could dictate one."""
    text = data.decode("utf-8", "replace") if len(data) <= LARGE_BYTES else written(partial(_decoded, data))
    return TranscriptPart(choices=[Choice(text=text, finish_reason="stop")])


def last_cue_seconds(data: bytes) -> int:
    """When the last line of subtitles ends, rounded up to whole seconds; 0 where there is none."""
    ends = [
        3_600 * int(found[1] or 0) + 60 * int(found[2]) + int(found[3]) + 1
        for found in _CUE.finditer(data[-_TAIL_BYTES:])
    ]
    return ends[-1] if ends else 0


def _decoded(data: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    yield from map(decoder.decode, slices(data, 0, len(data)))
    yield decoder.decode(b"", final=True)


def _small(data: bytes) -> object:
    if is_too_deep(data):
        raise Unreadable
    return any_json(data)


def _large(data: bytes) -> object:
    outline = outline_of(data)
    read = {name: raw for name, raw in outline.members.items() if name in _READ}
    if sum(count_values(memoryview(raw)) for raw in read.values()) > VALUES_MAX:
        raise Unreadable
    return {name: value_of(raw, outline.texts) for name, raw in read.items()}


def _part(
    value: Mapping[str, Any], text: object, *, is_whole: bool = False, is_last: bool = False
) -> TranscriptPart:
    ended = "stop" if is_whole or is_last else None
    said = text if isinstance(text, str) and text else None
    return TranscriptPart(
        choices=[Choice(text=said, finish_reason=ended)] if said or ended else [],
        usage=value.get("usage"),
        error=value.get("error"),
        duration=value.get("duration") if is_whole else None,
        is_last=is_last,
    )
