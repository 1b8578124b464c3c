"""The outbound edge over HTTP: one request to one target, and its answer as it comes."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Final

import msgspec
from aiohttp import (
    AddrInfoType,
    ClientConnectorError,
    ClientOSError,
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from proxy.tasks import Tasks
from proxy.upstream.address import origin, target_of
from proxy.upstream.base import Shipment, UpstreamFailure
from proxy.upstream.body import Body, InflatedBody, too_large
from proxy.upstream.exchange import Exchange, Outgoing, break_off, exchange
from proxy.upstream.failures import FAILURES, failure_of
from proxy.upstream.headers import Field, downward, upward
from proxy.upstream.inflate import BrokenEncoding, Inflater, coding_of
from proxy.upstream.routes import Target, Upstream

RESENDABLE_BYTES: Final = 1_048_576
"""Bodies up to this size are sent again when a kept connection turns out to be dead."""

MAX_REPLY_BYTES: Final = 67_108_864

_DNS_SECONDS: Final = 60
_REMEMBERED_UPSTREAMS: Final = 256
_BODILESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NEVER_IN_A_LINE: Final = re.compile(r"[\x00-\x20\x7f]")
_NOT_KEPT: Final = None


class _Attempt:
    """Whether the connection an attempt goes over was made for it."""

    __slots__ = ("fresh",)

    def __init__(self) -> None:
        self.fresh = False


_ATTEMPT: ContextVar[_Attempt] = ContextVar("attempt")


class _Plan(msgspec.Struct, frozen=True):
    """What every request to one upstream has in common. `door` is what aiohttp asks a connection for."""

    door: ClientRequest
    connecting: ClientTimeout
    host: str
    origin: str
    own_headers: tuple[Field, ...]


class HttpAnswer:
    """An answer whose status and headers have arrived. Satisfies `proxy.upstream.base.Answer`."""

    def __init__(
        self, reply: Exchange, headers: list[Field], body: Body, chunks: AsyncIterator[bytes]
    ) -> None:
        self.status = reply.status
        self.headers = headers
        self._reply = reply
        self._body = body
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, once. Raises UpstreamFailure when it stalls, breaks off or is too large."""
        return self._chunks

    def close(self) -> None:
        """Stop the upstream at once, unless the body was read to its end; idempotent, never blocks."""
        self._body.stop_watching()
        self._reply.stop()


class HttpUpstreams:
    """Sends requests over connections that are kept open. Satisfies `proxy.upstream.base.UpstreamClient`.

    `max_reply_bytes` bounds the body of one answer, before and after a content encoding is undone. Redirects
    are passed on and never followed, cookies are never kept, and proxies in the environment are not used.
    It serves between `open` and `close`, on the event loop they run on.
    """

    def __init__(self, *, tasks: Tasks, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._tasks = tasks
        self._max_reply_bytes = max_reply_bytes
        self._plan_of = lru_cache(maxsize=_REMEMBERED_UPSTREAMS)(_plan_of)
        self._connectors: dict[float | None, TCPConnector] = {}
        self._is_open = False

    async def open(self) -> None:
        """Begin to serve; connections are made when they are needed."""
        self._is_open = True

    async def close(self) -> None:
        """Close every connection; idempotent."""
        self._is_open = False
        while self._connectors:
            await self._connectors.popitem()[1].close()

    async def send(self, target: Target, shipment: Shipment) -> HttpAnswer:
        """The target's answer, of whatever status. Raises UpstreamFailure when there is none.

        A request with a small body that meets a dead kept connection, which the upstream closed just then, is
        sent once more over a new one. Raises ValueError for a path or method that would break the request line.
        """
        upstream = target.upstream
        plan = self._plan_of(upstream)
        outgoing = _outgoing(upstream, plan, shipment)
        try:
            reply = await self._exchange(upstream, plan, outgoing)
        except FAILURES as error:
            raise failure_of(error, upstream.name) from None
        return self._answer(upstream, plan, reply, is_head=outgoing.is_head)
