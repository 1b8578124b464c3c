"""The body of an answer as it comes: bounded in size and in silence, its content encoding undone."""

from collections.abc import AsyncIterator, Iterator

from aiohttp import StreamReader

from proxy.upstream.aiohttp_client import count_received
from proxy.upstream.base import UpstreamFailure
from proxy.upstream.connection import Connection
from proxy.upstream.failures import failure_of
from proxy.upstream.inflate import BrokenEncoding, Inflater


class AnswerBody(AsyncIterator[bytes]):
    """The chunks of one answer. Raises UpstreamFailure when it breaks off, stalls or exceeds `max_bytes`.

    A silence longer than `idle_seconds` is a stall only while a reader waits for the next chunk: a slow
    reader is not the upstream's fault. The bytes before a fault are handed on before the fault is raised.
    """

    __slots__ = ("_connection", "_content", "_idle_seconds", "_max_bytes", "_read_bytes", "_upstream_name")

    def __init__(
        self,
        connection: Connection,
        content: StreamReader,
        *,
        upstream_name: str,
        idle_seconds: float,
        max_bytes: int,
    ) -> None:
        self._connection = connection
        self._content = content
        self._upstream_name = upstream_name
        self._idle_seconds = idle_seconds
        self._max_bytes = max_bytes
        self._read_bytes = 0

    async def __anext__(self) -> bytes:
        content = self._content
        watched = False
        while count_received(content) == self._read_bytes:
            # After a whole answer the connection serves other requests, so its error is read only after this.
            if content.is_eof():
                raise StopAsyncIteration
            connection = self._connection
            if connection.error is not None:
                raise failure_of(connection.error, self._upstream_name) from None
            if not watched:
                connection.watch(self._idle_seconds)
                watched = True
            await connection.coming()
        chunk = content.read_nowait()
        self._read_bytes += len(chunk)
        if self._read_bytes > self._max_bytes:
            raise too_large(self._upstream_name)
        return chunk

    def stop(self) -> None:
        """Stop the upstream at once, unless the body has come whole; idempotent, never blocks."""
        if not self._content.is_eof():
            self._connection.stop()


class InflatedBody(AsyncIterator[bytes]):
    """The chunks of a compressed body, decompressed; `max_bytes` bounds their sum as well."""

    def __init__(self, body: AnswerBody, inflater: Inflater, *, upstream_name: str, max_bytes: int) -> None:
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
    """The failure of an answer that is larger than the bound."""
    return UpstreamFailure("upstream_invalid", f"The answer of the upstream {upstream_name!r} is too large.")
