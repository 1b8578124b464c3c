"""The inbound edge of the relay: aiohttp's request and response behind the relay's seams."""

import asyncio
from collections.abc import Callable, Coroutine

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from proxy.errors import Refusal
from proxy.relay import Relay
from proxy.web.auth import bearer_of
from proxy.web.middleware import REQUEST_ID, STARTED, name_ourselves, raw_path

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
COST_HEADER = "x-farebox-include"
PIECE_BYTES = 65_536
"""What is sent at once: the bound on a slow client is for each piece, not for all of a large answer."""
INLINE_BYTES = 32_768
"""What fits in the transport's empty buffer together with a head, so that sending it never waits."""


class Bounds(msgspec.Struct, frozen=True):
    """How large and how slow a client may be."""

    max_body_bytes: int
    body_seconds: float
    write_seconds: float


class HttpInbound:
    """`admission.Inbound` over an aiohttp request."""

    def __init__(self, request: web.Request, bounds: Bounds) -> None:
        self.id: str = request[REQUEST_ID]
        self.method = request.method
        self.path = raw_path(request)
        self.query = request.rel_url.raw_query_string
        self.headers: tuple[tuple[str, str], ...] = tuple(request.headers.items())
        self.secret = bearer_of(request.headers)
        self.wants_cost = request.headers.get(COST_HEADER, "").strip().lower() == "cost"
        self._request = request
        self._bounds = bounds

    async def body(self) -> bytes:
        """The whole body, bounded in size and time; the client is told to continue only now."""
        request, limit = self._request, self._bounds.max_body_bytes
        if request.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise Refusal("unsupported_encoding", "Send the body without Content-Encoding.")
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        if not request.body_exists:
            return b""
        if request.content.is_eof():
            # All of it has come with the head, as most do: there is nothing to wait for.
            body = request.content.read_nowait()
            if len(body) > limit:
                raise _too_large(limit)
            return body
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(CONTINUE)
            request.writer.output_size = 0
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
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class HttpReply:
    """`relay.Reply` over an aiohttp response; `response` is what the handler returns at the end."""

    def __init__(self, request: web.Request, bounds: Bounds) -> None:
        self.response: web.StreamResponse | None = None
        self._request = request
        self._bounds = bounds
        self._status = 200
        self._headers: CIMultiDict[str] = CIMultiDict()

    @property
    def started(self) -> bool:
        """Whether anything was sent."""
        return self.response is not None

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Set status and headers."""
        self._status = status
        self._headers = CIMultiDict(headers)

    def add_headers(self, headers: dict[str, str]) -> None:
        """Add headers of our own."""
        self._headers.update(headers)

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting for a slow client up to the bound. Raises ConnectionResetError."""
        response = self.response
        if response is None:
            response = await self._start(web.StreamResponse(status=self._status, headers=self._headers))
        if self._has_room(len(data)):
            await response.write(data)
            return
        for start in range(0, len(data), PIECE_BYTES):
            await self._bounded(response.write(data[start : start + PIECE_BYTES]))

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes; a reply that has not begun goes out whole, with its length.

        They are sent here and not by whoever handles the response later, so that a drain waits for them.
        """
        if self.response is not None:
            if data:
                await self.write(data)
            await self._write_end(self.response, 0)
        elif len(data) <= PIECE_BYTES:
            whole = web.Response(status=self._status, headers=self._headers, body=data)
            await self._start(whole)
            await self._write_end(whole, len(data))
        else:
            self._headers["Content-Length"] = str(len(data))
            await self.write(data)
            await self.end()

    async def break_off(self, refusal: Refusal) -> None:
        """An SSE error event on event streams; anything else is cut, so that its length shows it."""
        response = self.response
        if response is not None and response.content_type == "text/event-stream":
            await self.write(b"data: " + refusal.body(self._request[REQUEST_ID]) + b"\n\n")
            await self._write_end(response, 0)
        elif self._request.transport is not None:
            self._request.transport.abort()

    def _has_room(self, size_bytes: int) -> bool:
        """Whether so much can be sent without waiting for the client. Raises ConnectionResetError."""
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        return size_bytes <= INLINE_BYTES and not transport.get_write_buffer_size()

    async def _write_end(self, response: web.StreamResponse, size_bytes: int) -> None:
        if self._has_room(size_bytes):
            await response.write_eof()
        else:
            await self._bounded(response.write_eof())

    async def _bounded(self, sending: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(self._bounds.write_seconds):
                await sending
        except TimeoutError:
            pass
        else:
            return
        # What is buffered for the client goes with the connection; closing would wait for it to be read.
        # The error is raised out here so that it does not keep the other's frames, and the answer with them.
        if self._request.transport is not None:
            self._request.transport.abort()
        raise ConnectionResetError("the client reads too slowly")

    async def _start(self, response: web.StreamResponse) -> web.StreamResponse:
        self._request[STARTED] = True
        name_ourselves(response.headers, self._request[REQUEST_ID])
        await response.prepare(self._request)
        self.response = response
        return response


class Gateway:
    """Hands requests to the relay and counts those in flight, so that a drain can wait for them."""

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
        """Take one call through the relay."""
        if self.draining:
            refusal = Refusal(
                "shutting_down", "This process is draining; try again.", headers={"Retry-After": "1"}
            )
            raise refusal
        self._in_flight += 1
        try:
            bounds = self._bounds()
            reply = HttpReply(request, bounds)
            await self._relay.relay(HttpInbound(request, bounds), reply)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        assert reply.response is not None
        return reply.response

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
    """Say nothing to `Expect: 100-continue` yet: a refused upload is then never sent."""
    del request
    return None


def _too_large(limit: int) -> Refusal:
    return Refusal("body_too_large", f"The body is larger than {limit} bytes, the most that is accepted.")
