"""The body of an answer as it comes: bounded in size and in silence, and with its content encoding undone."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import StreamReader

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.failures import FAILURES, failure_of
from proxy.upstream.inflate import BrokenEncoding, Inflater

_NOT_WAITING: Final = math.inf


class Body(AsyncIterator[bytes]):
    """The chunks of one answer. Raises UpstreamFailure when it breaks off, stalls or exceeds `max_bytes`.

    A silence longer than `idle_seconds` is a stall only while somebody waits for the next chunk: a slow
    reader is not the upstream's fault. One timer serves the whole body and is set anew only when it goes
    off, for a timer for every chunk would cost too much.
    """

    def __init__(
        self, content: StreamReader, *, upstream_name: str, idle_seconds: float, max_bytes: int
    ) -> None:
        self._content = content
        self._upstream_name = upstream_name
        self._idle_seconds = idle_seconds
        self._left_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_since = _NOT_WAITING

    async def __anext__(self) -> bytes:
        content = self._content
        try:
            # Who had to wait once will have to again; what came with the head needs neither wait nor timer.
            waits = self._timer is not None
            chunk = b"" if waits else content.read_nowait()
            if waits or not (chunk or content.is_eof()):
                self._waiting_since = self._loop.time()
                if self._timer is None:
                    self._timer = self._loop.call_later(self._idle_seconds, self._look)
                chunk = await content.readany()
                self._waiting_since = _NOT_WAITING
        except FAILURES as error:
            self.stop_watching()
            raise failure_of(error, self._upstream_name) from None
        if not chunk:
            self.stop_watching()
            raise StopAsyncIteration
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise too_large(self._upstream_name)
        return chunk

    def stop_watching(self) -> None:
        """Let go of the timer; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """End the wait if the present silence has lasted long enough; else look again when it may have."""
        left_seconds = self._waiting_since + self._idle_seconds - self._loop.time()
        if left_seconds > 0:
            self._timer = self._loop.call_later(min(left_seconds, self._idle_seconds), self._look)
        else:
            self._timer = None
            self._content.set_exception(TimeoutError())


class InflatedBody(AsyncIterator[bytes]):
    """The chunks of a compressed body, undone; their sum is bounded by `max_bytes` as well."""

    def __init__(self, body: Body, inflater: Inflater, *, upstream_name: str, max_bytes: int) -> None:
        self._body = body
        self._inflater = inflater
        self._upstream_name = upstream_name
        self._left_bytes = max_bytes
        self._pieces: Iterator[bytes] = iter(())

    async def __anext__(self) -> bytes:
        try:
            while (piece := next(self._pieces, None)) is None:
                chunk = await anext(self._body, None)
                if chunk is None:
                    self._inflater.finish()
                    raise StopAsyncIteration
                self._pieces = self._inflater.feed(chunk)
        except BrokenEncoding as error:
            raise failure_of(error, self._upstream_name) from None
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise too_large(self._upstream_name)
        return piece


def too_large(upstream_name: str) -> UpstreamFailure:
    """The failure of an answer that is larger than it may be."""
    return UpstreamFailure("upstream_invalid", f"The answer of the upstream {upstream_name!r} is too large.")
