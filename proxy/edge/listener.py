"""Listening: aiohttp's protocol, but that what is no HTTP is refused in OpenAI's shape, too."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog
from aiohttp import web

from proxy.clock import Clock
from proxy.edge.middleware import Handler, name_ourselves, raw_path
from proxy.errors import Refusal
from proxy.ids import new_id

HEAD_SECONDS: Final = 30.0
"""How long a new connection may take to send the head of its first request."""
KEEPALIVE_SECONDS: Final = 75.0
"""How long a connection may lie idle between requests."""
FLUSH_LOOK_SECONDS: Final = 0.01
LINGER_SECONDS: Final = 2.0
"""How long an answered client may go on sending before its connection is closed."""
BACKLOG: Final = 2048
_ServerHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """Serves an application on one address. `shutdown_seconds` bounds what handlers may take at the end.

    Requests with one of the raw paths in `direct` go to `handler` without passing the application's router
    and its wrappers, which take as long as a twentieth of a call.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        direct: Collection[str],
        handler: Handler,
        clock: Clock,
        shutdown_seconds: float,
    ) -> None:
        self._direct = frozenset(direct)
        self._handler = handler
        self._clock = clock
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=shutdown_seconds
        )
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int, *, shared: bool = False) -> int:
        """Listen, and return the port: the one the system chose where 0 was asked for. Raises OSError.

        A `shared` port may be listened on by several processes, each of which gets a part of what comes.
        """
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        manager.request_handler = self._dispatcher(manager.request_handler)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._protocol, host, port, backlog=BACKLOG, reuse_port=shared
        )
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    async def close(self, flush_seconds: float) -> None:
        """Stop listening, let handlers end or cancel them; idempotent.

        What handlers have written and clients have not taken yet gets `flush_seconds` to leave.
        """
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(flush_seconds):
                while self._buffers_anything():  # noqa: ASYNC110 - nobody is told when a buffer runs empty.
                    await asyncio.sleep(FLUSH_LOOK_SECONDS)
        await self._runner.cleanup()

    def _buffers_anything(self) -> bool:
        manager = self._runner.server
        transports = [connection.transport for connection in manager.connections] if manager else []
        return any(transport and transport.get_write_buffer_size() for transport in transports)

    def _dispatcher(self, application: _ServerHandler) -> _ServerHandler:
        direct, handler = self._direct, self._handler

        def dispatch(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            if isinstance(request, web.Request) and raw_path(request) in direct:
                return handler(request)
            return application(request)

        return dispatch

    def _protocol(self) -> web.RequestHandler:
        manager = self._runner.server
        assert manager is not None
        loop = asyncio.get_running_loop()
        return _Protocol(
            self._clock,
            manager,
            loop=loop,
            access_log=None,
            lingering_time=LINGER_SECONDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,
        )


class _Protocol(web.RequestHandler):
    """One connection. What aiohttp's parser refuses never reaches a handler, so it is answered here."""

    __slots__ = ("_clock", "_head_timer")

    def __init__(self, clock: Clock, manager: web.Server, **options: object) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type] # aiohttp's own options, passed through.
        self._clock = clock
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: it has to send the head of a request before long."""
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._check_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _check_head(self) -> None:
        # Between requests aiohttp's own keep-alive bound holds, and within one the bound on its body.
        if not self._request_count:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be parsed; the connection is closed after it."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer has begun already")
        request_id = new_id("req", self._clock.now_us())
        structlog.get_logger("farebox.edge").info(
            "malformed request", request_id=request_id, status=status, fault=type(exc).__name__
        )
        code = "internal_error" if status >= 500 else "invalid_request"
        text = "Something went wrong here; the log has the request id."
        if status < 500:
            text = "The request is not well-formed HTTP, or its head is too large."
        refusal = Refusal(code, text)
        response = web.Response(
            status=status if status >= 500 else 400,
            body=refusal.body(request_id),
            content_type="application/json",
        )
        name_ourselves(response.headers, request_id)
        response.force_close()
        return response
