"""The way from aiohttp to the relay: requests behind the relay's seam, and the count of calls in flight."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from aiohttp import hdrs, web
from multidict import istr

from proxy.call.off_loop import off_loop
from proxy.call.relay import Relay
from proxy.edge.aiohttp_server import HttpVersion11, send_interim
from proxy.edge.auth import bearer_of
from proxy.edge.middleware import REQUEST_ID
from proxy.edge.reply import HttpReply
from proxy.errors import Refusal

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
COST_HEADER = istr("x-farebox-include")


class Bounds(msgspec.Struct, frozen=True):
    """How large and how slow a client may be."""

    max_body_bytes: int
    body_seconds: float
    write_seconds: float


class HttpInbound:
    """An aiohttp request. Satisfies `proxy.call.base.InboundRequest`."""

    def __init__(self, request: web.Request, bounds: Bounds) -> None:
        headers, url = request.headers, request.rel_url
        self.id: str = request[REQUEST_ID]
        self.method = request.method
        self.path = url.raw_path
        self.query = url.raw_query_string
        self.headers: tuple[tuple[str, str], ...] = tuple(headers.items())
        self.secret = bearer_of(headers)
        self.wants_cost = headers.get(COST_HEADER, "").strip().lower() == "cost"
        self._request = request
        self._bounds = bounds

    async def body(self) -> bytes:
        """The whole body, bounded in size and time. A client that expects `100 Continue` gets it only now.

        Raises Refusal `body_too_large`, `body_timeout`, `unsupported_encoding`.
        """
        request, limit = self._request, self._bounds.max_body_bytes
        headers, content = request.headers, request.content
        if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in {"", "identity"}:
            raise Refusal("unsupported_encoding", "Send the body without Content-Encoding.")
        if content.is_eof():
            # There is no body, or all of it came with the head, as most do.
            body = content.read_nowait()
            if len(body) > limit:
                raise _too_large(limit)
            return body
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        # Clients of HTTP/1.0 do not know interim answers, and would take this one for the answer.
        if request.version >= HttpVersion11 and headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await send_interim(request, CONTINUE)
        try:
            async with asyncio.timeout(self._bounds.body_seconds):
                return await self._read(limit)
        except TimeoutError:
            seconds = self._bounds.body_seconds
            raise Refusal("body_timeout", f"The body did not arrive within {seconds:g} seconds.") from None

    async def _read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in self._request.content.iter_any():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else await off_loop(size, partial(b"".join, pieces))


class Gateway:
    """Hands requests to the relay and counts the calls in flight, so that a drain can wait for them."""

    def __init__(self, *, relay: Relay, bounds: Callable[[], Bounds]) -> None:
        self._relay = relay
        self._bounds = bounds
        self._in_flight = 0
        self._idle = asyncio.Event()
        self.draining = False

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return self._in_flight

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Relay one call. Raises Refusal."""
        if self.draining:
            refusal = Refusal(
                "shutting_down", "This process is draining; try again.", headers={"Retry-After": "1"}
            )
            raise refusal
        self._in_flight += 1
        try:
            bounds = self._bounds()
            reply = HttpReply(request, bounds.write_seconds)
            await self._relay.relay(HttpInbound(request, bounds), reply)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        assert reply.started
        return reply.sent

    async def drained(self, timeout_seconds: float) -> bool:
        """Wait until nothing is in flight; False when that took too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True


async def expect_later(request: web.Request) -> web.StreamResponse | None:
    """Do not answer `Expect: 100-continue` yet, so that a refused upload is never sent."""
    del request
    return None


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"The body is larger than {limit} bytes, the most that is accepted.")
