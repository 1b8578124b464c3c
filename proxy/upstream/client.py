"""The outbound edge over HTTP: one request to one target, and its answer as it comes."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
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
from proxy.upstream.address import origin, request_target
from proxy.upstream.base import Shipment, UpstreamFailure
from proxy.upstream.body import Body, InflatedBody, too_large
from proxy.upstream.exchange import Exchange, Outgoing, break_off, exchange
from proxy.upstream.failures import FAILURES, failure_of
from proxy.upstream.headers import Field, downward, upward
from proxy.upstream.inflate import BrokenEncoding, Inflater, coding_of
from proxy.upstream.routes import Target, Upstream

NO_BOUND: Final = 2**62
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
RESENDABLE_BYTES: Final = 1_048_576
"""Bodies up to this size are sent again when a kept connection turns out to be dead."""

MAX_REPLY_BYTES: Final = 67_108_864

_DNS_SECONDS: Final = 60
_UPLOADS_END_SECONDS: Final = 1.0
"""Their connections are closed by then, so that they have nothing to wait for."""
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

    `max_reply_bytes` bounds the body of an answer that is no stream, before and after an encoding is undone.
    Redirects are passed on and never followed, cookies are never kept, and proxies in the environment are not
    used. It serves between `open` and `close`, on the event loop they run on.
    """

    def __init__(self, *, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._uploads = Tasks(_tell_the_loop)
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
        await self._uploads.drain(_UPLOADS_END_SECONDS)

    async def send(self, target: Target, shipment: Shipment) -> HttpAnswer:
        """The target's answer, of whatever status. Raises UpstreamFailure when there is none.

        A request with a small body that meets a dead kept connection, which the upstream closed just then, is
        sent once more over a new one, if it may be repeated. Raises ValueError for a path or method that
        would break the request line.
        """
        upstream = target.upstream
        plan = self._plan_of(upstream)
        outgoing = _outgoing(upstream, plan, shipment)
        try:
            repeatable = shipment.repeatable or shipment.method in IDEMPOTENT_METHODS
            reply = await self._exchange(upstream, plan, outgoing, repeatable=repeatable)
        except FAILURES as error:
            raise failure_of(error, upstream.name) from None
        return self._answer(upstream, plan, reply, is_head=outgoing.is_head)

    async def _exchange(
        self, upstream: Upstream, plan: _Plan, outgoing: Outgoing, *, repeatable: bool
    ) -> Exchange:
        attempt = _Attempt()
        _ATTEMPT.set(attempt)
        connection = await _connect(self._connector(upstream.keepalive_seconds), plan, attempt)
        try:
            return await self._over(connection, upstream, outgoing)
        except (ServerDisconnectedError, ClientOSError, ConnectionError) as error:
            small = len(outgoing.body) <= RESENDABLE_BYTES
            if attempt.fresh or not (small and repeatable and _unanswered(error)):
                raise
        connection = await _connect(self._connector(_NOT_KEPT), plan, attempt)
        outgoing.headers["Connection"] = "close"
        return await self._over(connection, upstream, outgoing)

    async def _over(self, connection: Connection, upstream: Upstream, outgoing: Outgoing) -> Exchange:
        seconds = upstream.first_byte_seconds
        return await exchange(connection, outgoing, first_byte_seconds=seconds, tasks=self._uploads)

    def _answer(self, upstream: Upstream, plan: _Plan, reply: Exchange, *, is_head: bool) -> HttpAnswer:
        """The answer, its headers stripped and its body undone. One that cannot be handed on is stopped."""
        # A stream is not held in memory: what bounds it is the money that was set aside for it.
        streamed = reply.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        max_bytes = NO_BOUND if streamed else self._max_reply_bytes
        try:
            if reply.status < 200:
                raise UpstreamFailure(
                    "upstream_invalid", f"The upstream {upstream.name!r} changed the protocol."
                )
            if not is_head and int(reply.headers.get("Content-Length", 0)) > max_bytes:
                raise too_large(upstream.name)
            coding = coding_of(",".join(reply.headers.getall("Content-Encoding", ())))
        except BrokenEncoding as error:
            reply.stop()
            raise failure_of(error, upstream.name) from None
        except UpstreamFailure:
            reply.stop()
            raise
        headers = downward(reply.status, reply.headers.items(), origin=plan.origin, undone=coding is not None)
        body = Body(
            reply.content,
            upstream_name=upstream.name,
            idle_seconds=upstream.idle_seconds,
            max_bytes=max_bytes,
        )
        if coding is None:
            return HttpAnswer(reply, headers, body, body)
        chunks = InflatedBody(body, Inflater(coding), upstream_name=upstream.name, max_bytes=max_bytes)
        return HttpAnswer(reply, headers, body, chunks)

    def _connector(self, keepalive_seconds: float | None) -> TCPConnector:
        """The connector whose connections are kept for so long, or not at all."""
        connector = self._connectors.get(keepalive_seconds)
        if connector is None:
            if not self._is_open:
                raise RuntimeError("the upstream client is not open")
            connector = self._connectors[keepalive_seconds] = TCPConnector(
                limit=0,
                ttl_dns_cache=_DNS_SECONDS,
                keepalive_timeout=keepalive_seconds,
                force_close=keepalive_seconds is _NOT_KEPT,
                socket_factory=_new_socket,
            )
        return connector


async def _connect(connector: TCPConnector, plan: _Plan, attempt: _Attempt) -> Connection:
    """A connection with nothing left over from its last use. Raises ClientConnectorError and its kin."""
    while True:
        try:
            connection = await connector.connect(plan.door, [], plan.connecting)
        except TimeoutError:
            raise ConnectionTimeoutError from None
        protocol = connection.protocol
        if attempt.fresh or (protocol is not None and not protocol.should_close):
            return connection
        # Bytes that came while nobody had asked would be taken for the answer to what is asked next.
        break_off(connection)


def _outgoing(upstream: Upstream, plan: _Plan, shipment: Shipment) -> Outgoing:
    target = request_target(upstream, shipment.path, shipment.query)
    if _NEVER_IN_A_LINE.search(target) or not shipment.method.isalpha():
        raise ValueError("a path or method that would break the request line")
    headers = CIMultiDict((("Host", plan.host),))
    headers.extend(upward(shipment.headers, plan.own_headers))
    if shipment.body or shipment.method not in _BODILESS_METHODS:
        headers["Content-Length"] = str(len(shipment.body))
    line = f"{shipment.method} {target} HTTP/1.1"
    return Outgoing(line, headers, shipment.body, shipment.method == "HEAD")


def _plan_of(upstream: Upstream) -> _Plan:
    own: list[Field] = [("Accept-Encoding", "identity"), *upstream.headers]
    credential = upstream.credential
    if credential is not None and credential.query is None:
        own.append((credential.header, credential.value))
    url = URL(upstream.base_url)
    return _Plan(
        door=ClientRequest("GET", url, loop=asyncio.get_running_loop()),
        connecting=ClientTimeout(total=None, connect=upstream.connect_seconds),
        host=url.host_port_subcomponent or "",
        origin=origin(upstream.base_url),
        own_headers=tuple(own),
    )


def _new_socket(info: AddrInfoType) -> socket.socket:
    """A socket for a connection that is about to be made; the attempt that needs it is told."""
    _ATTEMPT.get().fresh = True
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


def _unanswered(error: Exception) -> bool:
    """Whether a kept connection broke before a byte of the answer."""
    if isinstance(error, ServerDisconnectedError):
        # It carries what had been read of the answer's head, or a text of its own.
        return isinstance(error.message, str)
    return not isinstance(error, ClientConnectorError)


def _tell_the_loop(name: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": name, "exception": error})
