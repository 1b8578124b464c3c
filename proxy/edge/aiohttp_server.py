"""Every name of aiohttp's server that it does not document, so that a new aiohttp can break this module only.

`tests/edge/test_aiohttp_server.py` has a table of these names, and fails with the one that moved.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.http_writer import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.http_writer import _serialize_headers as serialized_head
from aiohttp.typedefs import Middleware
from aiohttp.web_protocol import RequestPayloadError

from proxy.edge.sockets import taken_by

__all__ = [
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "Middleware",
    "RequestCallback",
    "ServerProtocol",
    "count_sent",
    "drain",
    "has_sent",
    "is_write_paused",
    "mark_call",
    "refuse_pure_python_parser",
    "send_interim",
    "serialized_head",
    "when_lost",
    "wrap_callback",
]

RequestCallback = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What a server calls with each request."""


READ_AHEAD_BYTES: Final = 65_536
"""About how much of a body is taken from the system before somebody reads it."""
PIPELINED_MAX: Final = 2
"""How many requests of a connection are taken from the system before they are handled."""
HEAD_BYTES_MAX: Final = 65_536
"""About how long a head may be; aiohttp bounds only its lines and their number, which allows a megabyte."""
_HEAD_LINE_BYTES: Final = 8_190
_HEADERS_MAX: Final = 128


class _Body(Protocol):
    """The body of a request, as far as it matters here."""

    def is_eof(self) -> bool:
        """Whether all of it has come."""
        ...


class _OneTask:
    """An event loop for a connection's task, which then carries out each request itself.

    aiohttp would start a task for each, so that what one leaves in context variables is gone with the next:
    Farebox leaves nothing there. That task takes two more turns of the loop, but from Python 3.12 on, where
    it begins at once.
    """

    __slots__ = ("call_at", "create_future", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.time = loop.time
        self.call_at = loop.call_at
        self.create_future = loop.create_future

    @staticmethod
    def create_task(coro: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """What is awaited in place of a task."""
        return coro


class ServerProtocol(web.RequestHandler):
    """One connection of a client. `on_fault` makes the response to what aiohttp's parser refused.

    It gets the status that aiohttp would answer with, and the exception. `had_call` is whether a call was let
    through that came over it. `alone` has the tasks of calls that go on although their clients have left.
    """

    __slots__ = (
        "_alone",
        "_client",
        "_coming_body",
        "_goes_on",
        "_head_bytes",
        "_keepalive_seconds",
        "_on_fault",
        "had_call",
        "opened_at",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        linger_seconds: float,
        keepalive_seconds: float,
        on_fault: Callable[[int, BaseException | None], web.Response],
        alone: set[asyncio.Task[None]],
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None turns it off, whatever the type says.
            lingering_time=linger_seconds,
            keepalive_timeout=keepalive_seconds,
            auto_decompress=False,
        )
        # aiohttp's own parser would take 32 requests with their bodies, for whoever sends them.
        self._max_msg_queue_size = PIPELINED_MAX
        self._msg_queue_resume_size = PIPELINED_MAX // 2
        self._parser = HttpRequestParser(
            self,
            self._loop,
            READ_AHEAD_BYTES,
            max_line_size=_HEAD_LINE_BYTES,
            max_field_size=_HEAD_LINE_BYTES,
            max_headers=_HEADERS_MAX,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=PIPELINED_MAX,
        )
        self._on_fault = on_fault
        self._keepalive_seconds = keepalive_seconds
        self._alone = alone
        self._goes_on: Callable[[], bool] | None = None
        self._client: asyncio.Transport | None = None
        self._coming_body: _Body | None = None
        self._head_bytes = 0
        self.had_call = False
        self.opened_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # uvloop's transports are of no class of asyncio's.
        self._client = cast("asyncio.Transport", transport)
        self.opened_at = self._loop.time()
        super().connection_made(transport)
        if sys.version_info < (3, 12):
            self._loop = cast("asyncio.AbstractEventLoop", _OneTask(self._loop))

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone. What it has asked for is cancelled, but for a call that goes on without it."""
        goes_on, self._goes_on, task = self._goes_on, None, self._task_handler
        if goes_on is not None and task is not None and goes_on():
            self._task_handler = None
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)
        super().connection_lost(exc)

    def when_lost(self, goes_on: Callable[[], bool] | None) -> None:
        """Ask this when the client has gone: whether what it has asked for goes on; None to ask nothing."""
        self._goes_on = goes_on

    def data_received(self, data: bytes) -> None:
        """The client has sent something. A head that grows too long ends the connection."""
        requests, body = self._request_count, self._coming_body
        web.RequestHandler.data_received(self, data)  # `super()` would take longer.
        if self._request_count != requests:
            body, self._head_bytes = self._messages[-1][1], 0
        elif body is None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.abort()
        if body is not None:
            self._coming_body = None if body.is_eof() else body

    @property
    def idle_since(self) -> float | None:
        """Since when no request is being handled; None while one is."""
        if self._current_request is not None:
            return None
        return self._next_keepalive_close_time - self._keepalive_seconds

    @property
    def unsent_bytes(self) -> int:
        """How much has been written that the system has not taken yet, also after a polite close."""
        client = self._client
        return 0 if client is None else client.get_write_buffer_size()

    @property
    def taken_bytes(self) -> int:
        """A figure that grows by what the client takes; where the system does not tell, by what it takes."""
        client = self._client
        return 0 if client is None else taken_by(client)

    @property
    def client_address(self) -> str:
        """The address that the connection comes from; empty where there is none."""
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def abort(self) -> None:
        """End the connection at once, with all that is unsent."""
        if self._client is not None:
            self._client.abort()

    @property
    def had_request(self) -> bool:
        """Whether the head of a request has come over this connection."""
        return self._request_count > 0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that could not be parsed or handled; it closes the connection.

        Raises ConnectionResetError after the first byte of another response.
        """
        del message
        if has_sent(request):
            raise ConnectionResetError("a response has begun already")
        response = self._on_fault(status, exc)
        response.force_close()
        return response


def wrap_callback(server: web.Server, wrap: Callable[[RequestCallback], RequestCallback]) -> None:
    """Put another callback around the one that a server calls with each request."""
    server.request_handler = wrap(server.request_handler)


def mark_call(request: web.BaseRequest) -> None:
    """Note on a request's connection that it has carried a call."""
    protocol = request.protocol
    if isinstance(protocol, ServerProtocol):
        protocol.had_call = True


def when_lost(request: web.BaseRequest, goes_on: Callable[[], bool] | None) -> None:
    """Ask this when the client of a request has gone: whether its call goes on; None to ask nothing."""
    protocol = request.protocol
    if isinstance(protocol, ServerProtocol):
        protocol.when_lost(goes_on)


def has_sent(request: web.BaseRequest) -> bool:
    """Whether the response to a request has begun, so that no other can take its place."""
    return request.writer.output_size > 0


def count_sent(request: web.BaseRequest, size: int) -> None:
    """Tell aiohttp of `size` bytes of a response that were written past it."""
    request.writer.output_size += size


async def send_interim(request: web.BaseRequest, head: bytes) -> None:
    """Send an interim response, which does not count as the beginning of the response."""
    await request.writer.write(head)
    request.writer.output_size = 0


def is_write_paused(request: web.BaseRequest) -> bool:
    """Whether the client takes bytes more slowly than they are written."""
    return request.protocol.writing_paused


async def drain(request: web.BaseRequest) -> None:
    """Wait until the client has taken most of what was written. Raises ConnectionResetError."""
    await request.writer.drain()


def refuse_pure_python_parser() -> None:
    """Raise RuntimeError without aiohttp's C parser: the Python one lets requests be smuggled."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp's C extension is missing, or off by AIOHTTP_NO_EXTENSIONS; its Python parser is not safe"
        )
