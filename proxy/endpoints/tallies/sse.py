"""Server-sent events as bytes: cut a stream into whole events wherever its chunks end. Sans I/O."""

import re
from collections.abc import Iterator
from typing import Final

from proxy.endpoints.reading.steps import STEP_BYTES, joined
from proxy.errors import Refusal

EVENT_BYTES_MAX: Final = 67_108_864
"""How long an event may grow before it is given up; images come as tens of megabytes of base64."""

# A line ends with CR LF, LF or CR, and an empty line ends an event. A CR before LF is never one by itself.
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
# A search of bytes for a number takes a fifth of the time of a search for bytes.
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
        rest = joined(self._parts)
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
            self._parts.append(chunk[start:stop])
            is_short = self.pending_bytes <= STEP_BYTES
            events.append(b"".join(self._parts) if is_short else joined(self._parts))
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
