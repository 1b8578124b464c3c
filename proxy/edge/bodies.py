"""Reading the body of a request: bounded in size, in time, and in memory."""

import asyncio
from functools import partial
from typing import Final

import msgspec
from aiohttp import hdrs, web

from proxy.call.off_loop import off_loop
from proxy.edge.aiohttp_server import HttpVersion11, send_interim
from proxy.edge.body_memory import SMALL_BYTES, BodyMemory, BodyShare
from proxy.errors import Refusal

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PLAIN: Final = frozenset({"", "identity"})
AT_HAND_SECONDS: Final = 0.1
"""How soon after its head a small body comes where client and network are well."""


class Bounds(msgspec.Struct, frozen=True):
    """How large and how slow a client may be, and the bytes that all bodies together may take."""

    max_body_bytes: int
    body_seconds: float
    write_seconds: float
    body_memory_bytes: int = 2**28


class BodyReader:
    """Reads the body of one request. What it takes of the memory stays taken until `let_go`."""

    _small_bytes = 0
    _size = 0
    _pieces: list[bytes] | None = None
    _kept_share: BodyShare | None = None
    _body: bytes | None = None

    def __init__(self, request: web.Request, bounds: Bounds, memory: BodyMemory) -> None:
        self._request = request
        self._bounds = bounds
        self._memory = memory

    def let_go(self) -> None:
        """Nothing holds the body any more; idempotent."""
        if self._small_bytes:
            small_bytes, self._small_bytes = self._small_bytes, 0
            self._memory.give_back(small_bytes)
        if self._kept_share is not None:
            self._kept_share.let_go()

    @property
    def _share(self) -> BodyShare:
        """What a body takes that comes in pieces, or that has to wait for room."""
        if self._kept_share is None:
            bounds = self._bounds
            self._kept_share = self._memory.share(bounds.body_memory_bytes, bounds.max_body_bytes)
        return self._kept_share

    async def at_hand(self) -> bytes | None:
        """The whole body if it comes with its head or right after it; None if it has to be waited for.

        A body that was read before is at hand.

        Raises Refusal `body_too_large`, `unsupported_encoding`, `overloaded`.
        """
        if self._body is not None:
            return self._body
        request, limit = self._request, self._bounds.max_body_bytes
        content, headers = request.content, request.headers
        if hdrs.CONTENT_ENCODING in headers and headers[hdrs.CONTENT_ENCODING].lower() not in _PLAIN:
            raise Refusal("unsupported_encoding", "Send the body without Content-Encoding.")
        if content.is_eof():
            # There is no body, or all of it came with the head, as most do.
            body = content.read_nowait()
            size = len(body)
            if size > limit:
                raise _too_large(limit)
            if self._memory.took_small(size, self._bounds.body_memory_bytes):
                self._small_bytes = size
            else:
                await self._share.grow(size)
            self._body = body
            return body
        length = request.content_length
        if (length or 0) > limit:
            raise _too_large(limit)
        if length is None or length > SMALL_BYTES or self._expects_continue:
            return None
        try:
            async with asyncio.timeout(AT_HAND_SECONDS):
                self._body = await self._read()
        except TimeoutError:
            return None
        return self._body

    async def whole(self) -> bytes:
        """The whole body. A client that expects `100 Continue` gets it only now.

        A body that tells its length is read once there is room for all of it, so that bodies that come
        together do not wait for each other with a part of each. Raises Refusal `body_too_large`,
        `body_timeout`, `overloaded`.
        """
        await self._hold(self._request.content_length or 0)
        if self._expects_continue:
            await send_interim(self._request, CONTINUE)
        loop, share, seconds = asyncio.get_running_loop(), self._share, self._bounds.body_seconds
        try:
            async with asyncio.timeout(seconds) as patience:
                share.arriving(lambda: patience.reschedule(loop.time()), loop.time())
                self._body = await self._read()
                return self._body
        except TimeoutError:
            message = (
                f"The body did not arrive within {seconds:g} seconds, or too slowly while others waited."
            )
            raise Refusal("body_timeout", message) from None
        finally:
            share.arrived()

    @property
    def _expects_continue(self) -> bool:
        # Clients of HTTP/1.0 do not know interim answers, and would take this one for the answer.
        request = self._request
        expected = request.headers.get(hdrs.EXPECT, "").lower()
        return request.version >= HttpVersion11 and expected == "100-continue"

    async def _hold(self, size: int) -> None:
        """Take room for so much of the body."""
        if size > self._share.held_bytes:
            await self._share.grow(size - self._share.held_bytes)

    async def _read(self) -> bytes:
        """Read on to the end. What was read before a cancel is kept."""
        content, limit, share = self._request.content, self._bounds.max_body_bytes, self._share
        clock = asyncio.get_running_loop().time
        pieces = self._pieces = self._pieces or []
        while not content.at_eof():
            piece = await content.readany()
            pieces.append(piece)
            self._size += len(piece)
            if self._size > limit:
                raise _too_large(limit)
            if share.on_slow is not None:
                share.came(len(piece), clock())
            await self._hold(self._size)
        # What was read before a cancel may have no room yet.
        await self._hold(self._size)
        self._pieces = None
        return pieces[0] if len(pieces) == 1 else await off_loop(self._size, partial(b"".join, pieces))


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"The body is larger than {limit} bytes, the most that is accepted.")
