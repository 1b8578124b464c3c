"""The HTTP client: one request to one target, and its answer as it comes."""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

from aiohttp import ClientOSError, ServerDisconnectedError, TCPConnector, hdrs
from yarl import URL

from proxy.tasks import Tasks
from proxy.upstream.address import origin
from proxy.upstream.base import UpstreamFailure, UpstreamRequest
from proxy.upstream.body import AnswerBody, ErrorBody, InflatedBody, too_large
from proxy.upstream.connection import AnswerParts, Connection, RequestBytes
from proxy.upstream.failures import FAILURES, failure_of
from proxy.upstream.headers import Field, downward
from proxy.upstream.inflate import BrokenEncoding, Inflater, coding_of
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.request import Destination, closing, destination_of, request_bytes
from proxy.upstream.routes import Target, Upstream

NO_BOUND: Final = 2**62
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
RESENDABLE_BYTES: Final = 1_048_576
"""Bodies up to this size are sent again when an idle connection turns out to be dead."""

MAX_REPLY_BYTES: Final = 67_108_864
MAX_ERROR_BYTES: Final = 1_048_576
"""What is not a success is searched for secrets, and is larger only by mistake."""

_DNS_SECONDS: Final = 60
_UPLOADS_END_SECONDS: Final = 1.0
"""Their connections are closed by then, so they end at once."""
_REMEMBERED_UPSTREAMS: Final = 256


class HttpAnswer:
    """An answer whose status and headers have arrived. Satisfies `proxy.upstream.base.Answer`."""

    __slots__ = ("_body", "_chunks", "headers", "status")

    def __init__(
        self, status: int, headers: list[Field], body: AnswerBody, chunks: AsyncIterator[bytes]
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, once. Raises UpstreamFailure when it stalls, breaks off or is too large."""
        return self._chunks

    def close(self) -> None:
        """Stop the upstream at once, unless the body has come whole; idempotent, never blocks."""
        self._body.stop()


class HttpUpstreams:
    """Sends requests over pooled connections. Satisfies `proxy.upstream.base.UpstreamClient`.

    `max_reply_bytes` bounds the body of an answer that is not a stream, compressed and decompressed.
    Redirects are passed on, cookies are dropped, and proxies in the environment are ignored. The client
    serves between `open` and `close`, on the event loop they run on.
    """

    def __init__(self, *, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._uploads = Tasks(_tell_the_loop)
        self._max_reply_bytes = max_reply_bytes
        self._destination_of = lru_cache(maxsize=_REMEMBERED_UPSTREAMS)(self._new_destination)
        self._pools: dict[tuple[str, float], ConnectionPool] = {}
        self._connector: TCPConnector | None = None
        self._is_open = False

    async def open(self) -> None:
        """Begin to serve. Connections are made when a request needs one."""
        self._is_open = True

    async def close(self) -> None:
        """Close every connection; idempotent."""
        self._is_open = False
        self._destination_of.cache_clear()
        self._pools.clear()
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()
        await self._uploads.drain(_UPLOADS_END_SECONDS)

    async def send(self, target: Target, request: UpstreamRequest) -> HttpAnswer:
        """The target's answer, of whatever status. Raises UpstreamFailure when there is none.

        An upstream may close an idle connection just when a request takes it. A repeatable request with a
        small body is then sent once more, over a new connection. Raises ValueError for a path, method or
        header that would break the request.
        """
        destination = self._destination_of(target.upstream)
        outgoing = request_bytes(destination, request)
        may_repeat = request.repeatable or request.method in IDEMPOTENT_METHODS
        try:
            connection, reply = await self._exchange(destination, outgoing, may_repeat=may_repeat)
        except FAILURES as error:
            # A connection keeps its error, and the traceback of the error would keep the connection.
            raise failure_of(error.with_traceback(None), destination.upstream.name) from None
        return self._answer(destination, connection, reply)

    async def _exchange(
        self, destination: Destination, request: RequestBytes, *, may_repeat: bool
    ) -> tuple[Connection, AnswerParts]:
        upstream = destination.upstream
        seconds, tasks = upstream.first_byte_seconds, self._uploads
        connection = destination.pool.idle_connection()
        if connection is not None:
            try:
                return connection, await connection.exchange(request, first_byte_seconds=seconds, tasks=tasks)
            except (ServerDisconnectedError, ClientOSError):
                if connection.heard or not may_repeat or len(request.body) > RESENDABLE_BYTES:
                    raise
            request = closing(request)
        connection = await destination.pool.new_connection(upstream.connect_seconds)
        return connection, await connection.exchange(request, first_byte_seconds=seconds, tasks=tasks)

    def _answer(self, destination: Destination, connection: Connection, reply: AnswerParts) -> HttpAnswer:
        """The answer with headers stripped and body decompressed. One that cannot be passed on is stopped."""
        head, incoming = reply
        name, fields, redaction = destination.upstream.name, head.headers, destination.redaction
        is_error = head.status >= 300
        max_bytes = self._max_bytes(head.status, fields.get(hdrs.CONTENT_TYPE, ""))
        masking = None if is_error else redaction.masking()
        coding = None
        if hdrs.CONTENT_ENCODING in fields:
            try:
                coding = coding_of(",".join(fields.getall(hdrs.CONTENT_ENCODING)))
            except BrokenEncoding as error:
                if not incoming.ended:
                    connection.stop()
                raise failure_of(error, name) from None
        body = AnswerBody(
            connection,
            incoming,
            upstream_name=name,
            idle_seconds=destination.upstream.idle_seconds,
            max_bytes=max_bytes,
            masking=masking if coding is None else None,
        )
        try:
            if head.status < 200:
                raise UpstreamFailure("upstream_invalid", f"The upstream {name!r} changed the protocol.")
            # An answer to HEAD, or a 304, has the length of a body that does not come.
            if not incoming.ended and int(fields.get(hdrs.CONTENT_LENGTH, 0)) > max_bytes:
                raise too_large(name)
        except UpstreamFailure:
            body.stop()
            raise
        headers = downward(
            head.status,
            fields.items(),
            origin=destination.origin,
            redaction=redaction,
            undone=coding is not None,
        )
        chunks: AsyncIterator[bytes] = body
        if coding is not None:
            chunks = InflatedBody(
                body, Inflater(coding), upstream_name=name, max_bytes=max_bytes, masking=masking
            )
        if is_error:
            chunks = ErrorBody(chunks, redaction, upstream_name=name)
        return HttpAnswer(head.status, headers, body, chunks)

    def _max_bytes(self, status: int, content_type: str) -> int:
        """How large a body may be. A stream is not held in memory, and its hold bounds it.

        An error is passed on in one piece, whatever its content type.
        """
        if status >= 300:
            return min(MAX_ERROR_BYTES, self._max_reply_bytes)
        return NO_BOUND if content_type.lower().startswith("text/event-stream") else self._max_reply_bytes

    def _new_destination(self, upstream: Upstream) -> Destination:
        """The destination of an upstream. Upstreams of one origin and one keepalive share a pool."""
        if not self._is_open:
            raise RuntimeError("the upstream client is not open")
        if self._connector is None:
            self._connector = TCPConnector(limit=0, ttl_dns_cache=_DNS_SECONDS, force_close=True)
        at = origin(upstream.base_url), upstream.keepalive_seconds
        pool = self._pools.get(at)
        if pool is None:
            pool = self._pools[at] = ConnectionPool(
                self._connector, URL(upstream.base_url), upstream.keepalive_seconds
            )
        return destination_of(upstream, pool)


def _tell_the_loop(name: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": name, "exception": error})
