"""The listener: accepts connections, and refuses malformed HTTP in OpenAI's shape."""

import asyncio
import contextlib
from collections.abc import Awaitable, Collection
from functools import partial
from typing import Final

import structlog
from aiohttp import web

from proxy.clock import Clock
from proxy.edge.aiohttp_server import (
    RequestCallback,
    ServerProtocol,
    count_sent,
    wrap_callback,
)
from proxy.edge.call_connection import CallConnection, CallServer
from proxy.edge.framing import framing_fault
from proxy.edge.gateway import Gateway
from proxy.edge.middleware import Edge, name_ourselves, raw_path
from proxy.edge.reply import SENT_AND_CLOSED, response_bytes
from proxy.edge.watch import KEEPALIVE_SECONDS, ConnectionWatch
from proxy.endpoints.dialects import OPENAI, Dialect, dialect_of
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.tasks import Tasks

FLUSH_POLL_SECONDS: Final = 0.01
LINGER_SECONDS: Final = 2.0
"""How long a client may go on sending after its answer before its connection is closed."""
BACKLOG: Final = 2048


class Listener:
    """Serves an application on one address. `shutdown_seconds` bounds the handlers that are left at the end.

    A POST to a raw path in `direct` goes straight to the gateway: an ordinary one from its own connection,
    and one that aiohttp reads past the application's router.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        direct: Collection[str],
        gateway: Gateway,
        edge: Edge,
        clock: Clock,
        tasks: Tasks,
        watch: ConnectionWatch,
        shutdown_seconds: float,
    ) -> None:
        self._direct = frozenset(direct)
        self._gateway = gateway
        self._edge = edge
        self._clock = clock
        self._tasks = tasks
        self._watch = watch
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=shutdown_seconds
        )
        self._shutdown_seconds = shutdown_seconds
        self._listening: asyncio.Server | None = None
        self._calls: CallServer | None = None

    async def open(self, host: str, port: int, *, shared: bool = False) -> int:
        """Listen, and return the port; with 0 the system chooses one. Raises OSError.

        Several processes may listen on a `shared` port, and each gets a part of the connections.
        """
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        wrap_callback(server, self._dispatcher)
        self._calls = CallServer(
            self._gateway,
            self._edge,
            self._clock,
            self._direct,
            self._watch,
            partial(_Protocol, server, self._clock, self._watch),
            self._tasks,
        )
        self._listening = await asyncio.get_running_loop().create_server(
            partial(CallConnection, self._calls),
            host,
            port,
            backlog=BACKLOG,
            reuse_port=shared,
        )
        chosen: int = self._listening.sockets[0].getsockname()[1]
        return chosen

    async def close(self, flush_seconds: float) -> None:
        """Stop listening, and end or cancel the handlers, also those without a client; idempotent.

        Clients get `flush_seconds` to take the bytes that handlers have written, if the watch lets them.
        """
        if self._listening is not None:
            self._listening.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(flush_seconds):
                while self._watch.has_unsent:  # noqa: ASYNC110 - no event says that a buffer ran empty.
                    await asyncio.sleep(FLUSH_POLL_SECONDS)
        if self._calls is not None:
            await self._calls.close(self._shutdown_seconds)
        await self._runner.cleanup()
        for task in self._watch.alone:
            task.cancel()
        if self._watch.alone:
            await asyncio.wait(self._watch.alone, timeout=self._shutdown_seconds)

    def _dispatcher(self, application: RequestCallback) -> RequestCallback:
        direct, handler = self._direct, partial(self._edge.middleware(), handler=self._gateway.handle)

        def dispatch(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            fault = framing_fault(request)
            if fault is not None:
                return self._refuse(request, fault)
            if request.method == "POST" and isinstance(request, web.Request) and raw_path(request) in direct:
                return handler(request)
            return application(request)

        return dispatch

    async def _refuse(self, request: web.BaseRequest, fault: str) -> web.StreamResponse:
        """Refuse a request whose framing cannot be trusted, in the version we speak, and hang up."""
        refusal, dialect = Refusal("invalid_request", fault), dialect_of(raw_path(request))
        response = _malformed(self._clock, 400, refusal, fault, request.remote or "", dialect=dialect)
        sent = response_bytes(response, keeps=False)
        if request.transport is not None:
            request.transport.write(sent)
            count_sent(request, len(sent))
        return SENT_AND_CLOSED


class _Protocol(ServerProtocol):
    """One connection of a client, under the watch."""

    __slots__ = ("_clock", "_watch")

    def __init__(self, server: web.Server, clock: Clock, watch: ConnectionWatch) -> None:
        super().__init__(
            server,
            linger_seconds=LINGER_SECONDS,
            keepalive_seconds=KEEPALIVE_SECONDS,
            on_fault=self._fault_response,
            alone=watch.alone,
        )
        self._clock = clock
        self._watch = watch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self._watch.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._watch.remove(self)
        super().connection_lost(exc)

    def _fault_response(self, status: int, fault: BaseException | None) -> web.Response:
        """A malformed request never reaches a handler, so its refusal is made here, in OpenAI's shape."""
        refusal = Refusal("invalid_request", "The request is not well-formed HTTP, or its head is too large.")
        if status >= 500:
            refusal = Refusal("internal_error", "Something went wrong here; the log has the request id.")
        status = status if status >= 500 else 400
        return _malformed(self._clock, status, refusal, type(fault).__name__, self.client_address)


def _malformed(
    clock: Clock,
    status: int,
    refusal: Refusal,
    fault: str,
    client: str,
    *,
    dialect: Dialect = OPENAI,
) -> web.Response:
    request_id = new_id("req", clock.now_us())
    structlog.get_logger("farebox.edge").info(
        "malformed request", request_id=request_id, status=status, fault=fault, client=client
    )
    body = dialect.error(refusal, request_id)
    response = web.Response(status=status, body=body, content_type="application/json")
    name_ourselves(response.headers, request_id, dialect)
    return response
