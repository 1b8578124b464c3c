"""Server-sent events as bytes: cut a stream into whole events wherever its chunks end. Sans I/O."""

import re
from collections.abc import Iterator
from typing import Final

from proxy.errors import Refusal

EVENT_BYTES_MAX: Final = 67_108_864
"""How long an event may grow before it is given up; images come as tens of megabytes of base64."""

LINES_MAX: Final = 16_384
"""How many lines an event may have; nearly all have one of data."""

# A line ends with CR LF, LF or CR, and an empty line ends an event. A CR before LF is never one by itself.
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})
# A search of bytes for a number takes a fifth of the time of a search for bytes.
_LF: Final = 0x0A
_CR: Final = 0x0D
_OVERLAP_BYTES: Final = 3
"""All but the last byte of the longest end: what is searched again when more comes."""


class Splitter:
    """Gives whole events, each with its exact bytes and the empty line that ends it.

    Whatever the chunks, the same stream gives the same events: an event that seems to end with a CR waits for
    the next byte, which could be its LF. Each byte is read once, however many chunks an event takes.
    """

    __slots__ = ("_limit_bytes", "_overlap", "_parts", "pending_bytes")

    def __init__(self, limit_bytes: int = EVENT_BYTES_MAX) -> None:
        self.pending_bytes = 0
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._overlap = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. Raises Refusal `upstream_invalid` for one that is too long."""
        if self._parts or _CR in chunk:
            return self._feed_any(chunk)
        if chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2:
            return [chunk]
        events = chunk.split(b"\n\n")
        rest = events.pop()
        if rest:
            self._wait(rest)
        return [event + b"\n\n" for event in events]

    def finish(self) -> bytes:
        """What came after the last whole event."""
        rest = b"".join(self._parts)
        self._clear()
        return rest

    def _feed_any(self, chunk: bytes) -> list[bytes]:
        seen = len(self._overlap)
        text = self._overlap + chunk
        events = []
        start = 0
        for end in _ends(text):
            if end == len(text) and text.endswith(b"\r"):
                break
            stop = end - seen
            events.append(b"".join((*self._parts, chunk[start:stop])))
            self._clear()
            start = stop
        if start < len(chunk):
            self._wait(chunk[start:])
        return events

    def _wait(self, rest: bytes) -> None:
        self.pending_bytes += len(rest)
        if self.pending_bytes > self._limit_bytes:
            raise Refusal(
                "upstream_invalid", f"The upstream sent an event of more than {self._limit_bytes} bytes."
            )
        self._parts.append(rest)
        self._overlap = (self._overlap + rest[-_OVERLAP_BYTES:])[-_OVERLAP_BYTES:]

    def _clear(self) -> None:
        if self._parts:
            self._parts = []
            self._overlap = b""
            self.pending_bytes = 0


def _ends(text: bytes) -> Iterator[int]:
    """Where each event of `text` ends."""
    ends = text.count(b"\r")
    if ends and not ends == text.count(b"\n") == text.count(b"\r\n"):
        yield from (found.end() for found in _END.finditer(text))
        return
    empty_line = b"\r\n\r\n" if ends else b"\n\n"
    at = text.find(empty_line)
    while at >= 0:
        at += len(empty_line)
        yield at
        at = text.find(empty_line, at)


def stray_text(event: bytes) -> bytes:
    """The lines of an event that are neither fields nor comments: no reader of events takes them for any."""
    return b"\n".join(
        line
        for line in _LINE_END.split(event)
        if line.partition(b":")[0] not in _FIELDS and not line.startswith(b":")
    ).strip()


def with_data(event: bytes, data: bytes) -> bytes:
    """The event with other data, on as many lines as that has; its other fields come first."""
    end = b"\r\n" if b"\r\n" in event else b"\n"
    others = [line for line in _LINE_END.split(event) if line and line.partition(b":")[0] != b"data"]
    return end.join((*others, *(b"data: " + line for line in data.split(b"\n")), b"", b""))


def only_data(event: bytes) -> bytes | None:
    """The data of an event that is one line of data, as nearly all are; None for any other."""
    if not event.startswith(b"data: "):
        return None
    if event.endswith(b"\n\n"):
        data = event[6:-2]
    elif event.endswith(b"\r\n\r\n"):
        data = event[6:-4]
    else:
        return None
    return None if _LF in data or _CR in data else data


def _lines(event: bytes) -> Iterator[bytes]:
    """The lines of an event. Raises Refusal `upstream_invalid` for more than `LINES_MAX`."""
    start = 0
    for count, end in enumerate(_LINE_END.finditer(event)):
        if count > LINES_MAX:
            raise Refusal("upstream_invalid", f"The upstream sent an event of more than {LINES_MAX} lines.")
        yield event[start : end.start()]
        start = end.end()
    yield event[start:]


def name_and_data(event: bytes) -> tuple[bytes, bytes | None]:
    """The event's name, empty if it has none, and its data, the lines joined by LF.

    The data is None for an event without any, such as a comment. Raises Refusal `upstream_invalid` for an
    event of more than `LINES_MAX` lines.
    """
    usual = only_data(event)
    if usual is not None:
        return b"", usual
    # Next to that, most are a line with their name and one of data.
    start = event.find(b"\n") + 1
    if event.startswith(b"event: ") and (usual := only_data(event[start:])) is not None:
        return event[7 : start - 1].removesuffix(b"\r"), usual
    name = b""
    lines: list[bytes] = []
    for line in _lines(event):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b"\n".join(lines) if lines else None
