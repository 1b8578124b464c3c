"""The body of an answer as it comes: bounded in size and in silence, its encoding undone, no secret in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.connection import Connection, Incoming
from proxy.upstream.failures import failure_of
from proxy.upstream.inflate import BrokenEncoding, Inflater
from proxy.upstream.redaction import Masking, Redaction

_INLINE_BYTES: Final = 16_384
"""Errors up to this size are searched at once; in a larger one that would keep the loop from other calls."""


class AnswerBody(AsyncIterator[bytes]):
    """The chunks of one answer. Raises UpstreamFailure when it breaks off, stalls or exceeds `max_bytes`.

    A silence longer than `idle_seconds` is a stall only while a reader waits for the next chunk: a slow
    reader is not the upstream's fault. The bytes before a fault are handed on before the fault is raised.
    `masking` hides secrets in them.
    """

    __slots__ = (
        "_connection",
        "_idle_seconds",
        "_incoming",
        "_masking",
        "_max_bytes",
        "_read_bytes",
        "_upstream_name",
    )

    def __init__(
        self,
        connection: Connection,
        incoming: Incoming,
        *,
        upstream_name: str,
        idle_seconds: float,
        max_bytes: int,
        masking: Masking | None = None,
    ) -> None:
        self._connection = connection
        self._incoming = incoming
        self._upstream_name = upstream_name
        self._idle_seconds = idle_seconds
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._masking = masking

    async def __anext__(self) -> bytes:
        incoming, masking = self._incoming, self._masking
        watched = False
        while not incoming.pieces:
            # After a whole answer the connection serves other requests, so its error is read only after this.
            if incoming.ended:
                if masking is not None and (rest := masking.rest()):
                    return rest
                raise StopAsyncIteration
            connection = self._connection
            if connection.error is not None:
                if masking is not None and (rest := masking.rest()):
                    return rest
                raise failure_of(connection.error, self._upstream_name) from None
            if not watched:
                connection.watch(self._idle_seconds)
                watched = True
            await connection.coming()
        chunk = incoming.take()
        self._read_bytes += len(chunk)
        if self._read_bytes > self._max_bytes:
            raise too_large(self._upstream_name)
        return chunk if masking is None else masking.feed(chunk)

    def stop(self) -> None:
        """Stop the upstream at once, unless the body has come whole; idempotent, never blocks."""
        if not self._incoming.ended:
            self._connection.stop()


class InflatedBody(AsyncIterator[bytes]):
    """The chunks of a compressed body, decompressed; `max_bytes` bounds their sum as well."""

    def __init__(
        self,
        body: AnswerBody,
        inflater: Inflater,
        *,
        upstream_name: str,
        max_bytes: int,
        masking: Masking | None = None,
    ) -> None:
        self._body = body
        self._masking = masking
        self._inflater = inflater
        self._upstream_name = upstream_name
        self._left_bytes = max_bytes
        self._pieces: Iterator[bytes] = iter(())

    async def __anext__(self) -> bytes:
        try:
            while (piece := next(self._pieces, None)) is None:
                chunk = await anext(self._body, None)
                if chunk is None:
                    if self._masking is not None and (rest := self._masking.rest()):
                        return rest
                    self._inflater.finish()
                    raise StopAsyncIteration
                self._pieces = self._inflater.feed(chunk)
        except BrokenEncoding as error:
            raise failure_of(error, self._upstream_name) from None
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise too_large(self._upstream_name)
        return piece if self._masking is None else self._masking.feed(piece)


class ErrorBody(AsyncIterator[bytes]):
    """An error's body in one piece, once it has come whole.

    A secret as it was sent is masked, and the rest of the error is passed on. In any other spelling it cannot
    be told where it begins and ends: such an error is withheld, and `upstream_denied` takes its place.
    """

    def __init__(self, body: AsyncIterator[bytes], redaction: Redaction, *, upstream_name: str) -> None:
        self._body = body
        self._redaction = redaction
        self._upstream_name = upstream_name
        self._pieces: list[bytes] = []
        self._given = False

    async def __anext__(self) -> bytes:
        if self._given:
            raise StopAsyncIteration
        async for piece in self._body:
            self._pieces.append(piece)
        whole = self._redaction.masked(b"".join(self._pieces))
        tells = self._redaction.is_told_by
        if tells(whole) if len(whole) <= _INLINE_BYTES else await asyncio.to_thread(tells, whole):
            raise UpstreamFailure(
                "upstream_denied",
                f"The error of the upstream {self._upstream_name!r} is withheld: it repeats its credential.",
            )
        self._given = True
        return whole


def too_large(upstream_name: str) -> UpstreamFailure:
    """The failure of an answer that is larger than the bound."""
    return UpstreamFailure("upstream_invalid", f"The answer of the upstream {upstream_name!r} is too large.")
