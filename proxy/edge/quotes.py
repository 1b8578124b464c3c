"""Requests that only ask what a call would cost: the way from aiohttp to `proxy.call.quotes`."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from proxy.call.quotes import Quote, Quotes
from proxy.edge.bodies import BodyReader, Bounds
from proxy.edge.body_memory import BodyMemory
from proxy.edge.gateway import HttpInbound


class AskedCall(NamedTuple):
    """Method, raw path and query of a call that is only asked about."""

    method: str
    path: str
    query: str


class QuoteRequests:
    """Hands them to the quotes. Their bodies are those of the calls, and are bounded as these are."""

    def __init__(self, *, quotes: Quotes, bounds: Callable[[], Bounds], memory: BodyMemory) -> None:
        self._quotes = quotes
        self._bounds = bounds
        self._memory = memory

    async def quote(self, request: web.Request, asked: AskedCall) -> Quote:
        """What the call would cost. Raises Refusal as the admission of the call does."""
        body = BodyReader(request, self._bounds(), self._memory)
        inbound = HttpInbound(request, body)
        inbound.method, inbound.path, inbound.query = asked
        try:
            return await self._quotes.of(inbound)
        finally:
            body.let_go()
