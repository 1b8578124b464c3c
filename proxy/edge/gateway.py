"""The way from aiohttp to the relay: requests behind the relay's seam, and the count of calls in flight."""

import asyncio

from aiohttp import web
from multidict import istr

from proxy.call.base import InboundRequest
from proxy.call.relay import Relay
from proxy.edge.aiohttp_server import mark_call, when_lost
from proxy.edge.auth import bearer_of
from proxy.edge.bodies import BodyReader, Bounds
from proxy.edge.body_memory import BodyMemory
from proxy.edge.middleware import FACTS, REQUEST_ID
from proxy.edge.reply import SENT_AND_CLOSED, SENT_AND_KEPT, HttpReply, RequestExchange
from proxy.errors import Refusal

COST_HEADER = istr("x-farebox-include")
RUN_HEADER = istr("x-farebox-run")


class HttpInbound:
    """An aiohttp request. Satisfies `proxy.call.base.InboundRequest`."""

    def __init__(self, request: web.Request, body: BodyReader) -> None:
        headers, url = request.headers, request.rel_url
        self.id: str = request[REQUEST_ID]
        self.method = request.method
        self.path = url.raw_path
        self.query = url.raw_query_string
        self.headers: tuple[tuple[str, str], ...] = tuple(headers.items())
        self.secret = bearer_of(headers)
        self.wants_cost = COST_HEADER in headers and headers[COST_HEADER].strip().lower() == "cost"
        self.run = headers[RUN_HEADER].strip() if RUN_HEADER in headers else ""
        self.facts: dict[str, str] = {}
        request[FACTS] = self.facts
        self.body_at_hand = body.at_hand
        self.body = body.whole


class Gateway:
    """Hands requests to the relay and counts the calls in flight, so that a drain can wait for them.

    `bounds` may be replaced at any time; a request keeps its own.
    """

    def __init__(self, *, relay: Relay, bounds: Bounds) -> None:
        self._relay = relay
        self.bounds = bounds
        self._in_flight = 0
        self._idle = asyncio.Event()
        self.memory = BodyMemory(now=lambda: asyncio.get_running_loop().time())
        self.draining = False

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return self._in_flight

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Relay one call that aiohttp has read. Raises Refusal."""
        bounds = self.bounds
        body = BodyReader(request, bounds, self.memory)
        reply = HttpReply(RequestExchange(request), bounds.write_seconds)
        try:
            await self.relay(HttpInbound(request, body), reply)
            mark_call(request)
        finally:
            body.let_go()
            when_lost(request, None)
        return SENT_AND_KEPT if reply.keeps else SENT_AND_CLOSED

    async def relay(self, inbound: InboundRequest, reply: HttpReply) -> None:
        """Relay one call, which is in flight until its answer has been sent. Raises Refusal."""
        if self.draining:
            raise Refusal("shutting_down", "This process is draining; try again.")
        self._in_flight += 1
        try:
            await self._relay.relay(inbound, reply)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        assert reply.started

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
