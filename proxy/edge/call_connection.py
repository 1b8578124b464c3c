"""A connection over which ordinary calls come: read in one step, relayed, answered.

As soon as anything else comes over it, it is aiohttp's, with every byte of that: a large or slow body,
another path or method, and whatever `call_head` does not know.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, cast

import msgspec
from multidict import CIMultiDict

from proxy.clock import Clock
from proxy.edge.aiohttp_server import HttpVersion11, ServerProtocol
from proxy.edge.auth import secret_in
from proxy.edge.bodies import AT_HAND_SECONDS
from proxy.edge.body_memory import SMALL_BYTES
from proxy.edge.call_head import CallHead, call_head
from proxy.edge.gateway import Gateway
from proxy.edge.middleware import Asked, Edge, finished
from proxy.edge.reply import HttpReply, response_bytes
from proxy.edge.sockets import probe_when_silent, taken_by
from proxy.edge.watch import ConnectionWatch
from proxy.endpoints.dialects import dialect_of
from proxy.ids import new_id
from proxy.tasks import Tasks

READ_AHEAD_BYTES: Final = 65_536
"""How much is taken from the system while a call is being answered, and a piece more."""


class CallServer(msgspec.Struct, frozen=True):
    """What all such connections of a process have in common.

    `paths` are those of calls, raw. `by_aiohttp` makes what takes over. `tasks` are the calls that are being
    answered, `open` the connections.
    """

    gateway: Gateway
    edge: Edge
    clock: Clock
    paths: Collection[str]
    watch: ConnectionWatch
    by_aiohttp: Callable[[], ServerProtocol]
    tasks: Tasks
    open: set["CallConnection"] = msgspec.field(default_factory=set)

    async def close(self, seconds: float) -> None:
        """Give the calls so long to end, then cancel them, and close every connection."""
        await self.tasks.drain(seconds)
        for connection in list(self.open):
            connection.close()


class OrdinaryCall:
    """A call that has come whole.

    Satisfies `proxy.call.base.InboundRequest` and `proxy.edge.reply.Exchange`.
    """

    __slots__ = (
        "_body",
        "_connection",
        "begun",
        "facts",
        "headers",
        "id",
        "path",
        "run",
        "secret",
        "wants_cost",
    )
    method = "POST"
    query = ""
    version = HttpVersion11
    keeps = True

    def __init__(self, connection: "CallConnection", request_id: str, head: CallHead, body: bytes) -> None:
        self._connection = connection
        self._body = body
        self.id = request_id
        self.path = head.path
        self.headers = head.fields
        self.secret = secret_in(head.authorization, head.api_key)
        self.wants_cost = head.include.lower() == "cost"
        self.run = head.run
        self.facts: dict[str, str] = {}
        self.begun = False

    async def body_at_hand(self) -> bytes:
        """The whole body."""
        return self._body

    async def body(self) -> bytes:
        """The whole body."""
        return self._body

    @property
    def transport(self) -> asyncio.Transport | None:
        """See `Exchange.transport`."""
        return self._connection.transport

    @property
    def is_slow(self) -> bool:
        """See `Exchange.is_slow`."""
        return self._connection.drained is not None

    async def drain(self) -> None:
        """See `Exchange.drain`."""
        await self._connection.drain()

    def sent(self, size: int) -> None:
        """See `Exchange.sent`."""
        del size
        self.begun = True

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        """See `Exchange.on_left`."""
        self._connection.goes_on = goes_on


class CallConnection(asyncio.Protocol):
    """One connection of a client. Satisfies `proxy.edge.watch.WatchedConnection`.

    `task` is that of the call that is being answered, None between two. `drained` is done when the client has
    taken most of what was written; None while it keeps up.
    """

    __slots__ = (
        "_awaited",
        "_buffer",
        "_idle_since",
        "_paused",
        "_server",
        "_timer",
        "drained",
        "goes_on",
        "had_call",
        "had_request",
        "opened_at",
        "task",
        "transport",
    )

    def __init__(self, server: CallServer) -> None:
        self._server = server
        self._buffer = b""
        self._awaited: CallHead | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._idle_since = 0.0
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.goes_on: Callable[[], bool] | None = None
        self.drained: asyncio.Future[None] | None = None
        self.had_request = self.had_call = False
        self.opened_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # uvloop's transports are of no class of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        probe_when_silent(self.transport)
        self.opened_at = self._idle_since = asyncio.get_running_loop().time()
        self._server.open.add(self)
        self._server.watch.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. Its call is cancelled, but for one that goes on without it."""
        del exc
        self._let_go()
        self.resume_writing()
        task, goes_on = self.task, self.goes_on
        if task is None:
            return
        if goes_on is not None and goes_on():
            alone = self._server.watch.alone
            alone.add(task)
            task.add_done_callback(alone.discard)
        else:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._buffer:
            data = self._buffer + data
        if self.task is None:
            self._read(data)
            return
        self._keep(data)

    def pause_writing(self) -> None:
        """The client takes bytes more slowly than they are written."""
        self.drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The client has taken most of what was written, or is gone."""
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written. Raises ConnectionResetError."""
        if self.drained is not None:
            await asyncio.shield(self.drained)
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    @property
    def idle_since(self) -> float | None:
        """Since when no request is being handled, or is coming; None while one is."""
        return self._idle_since if self.task is None and self._awaited is None else None

    @property
    def unsent_bytes(self) -> int:
        """How much has been written that the system has not taken yet."""
        transport = self.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    @property
    def taken_bytes(self) -> int:
        """A figure that grows by what the client takes."""
        transport = self.transport
        return 0 if transport is None else taken_by(transport)

    def abort(self) -> None:
        """End it at once, with all that is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """End it politely."""
        if self.transport is not None:
            self.transport.close()

    def _read(self, data: bytes) -> None:
        """Begin the call that `data` begins with, wait for the rest of its body, or let aiohttp have it."""
        head = self._awaited or call_head(data, self._server.paths)
        if head is None or head.length > self._most_bytes:
            self._hand_over(data)
            return
        end = head.size + head.length
        if len(data) < end:
            self._wait(head, data)
        elif self._server.gateway.memory.took_small(
            head.length, self._server.gateway.bounds.body_memory_bytes
        ):
            self._wait_no_more()
            self._begin(head, data[head.size : end], data[end:])
        else:
            self._hand_over(data)

    @property
    def _most_bytes(self) -> int:
        return min(SMALL_BYTES, self._server.gateway.bounds.max_body_bytes)

    def _begin(self, head: CallHead, body: bytes, rest: bytes) -> None:
        self.had_request = True
        self._keep(rest)
        call = OrdinaryCall(self, new_id("req", self._server.clock.now_us()), head, body)
        self.task = self._server.tasks.spawn(self._serve(call, len(body)), name="call")

    async def _serve(self, call: OrdinaryCall, size: int) -> None:
        """Relay a call and answer it, then go on with what has come meanwhile."""
        gateway, keeps = self._server.gateway, False
        reply = HttpReply(call, gateway.bounds.write_seconds)
        try:
            await gateway.relay(call, reply)
            self.had_call = True
            keeps = reply.keeps
        except Exception as error:  # noqa: BLE001 - each has its answer, or ends the connection.
            self.goes_on = None
            keeps = await self._refuse(call, error)
        finally:
            gateway.memory.give_back(size)
            self._ended(keeps=keeps)

    async def _refuse(self, call: OrdinaryCall, error: Exception) -> bool:
        """Answer a call that raised this. Returns whether the connection may carry another request.

        A client that takes it slowly is waited for, as else all that it has sent would be answered meanwhile.
        """
        edge, transport = self._server.edge, self.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        client = str(peer[0]) if isinstance(peer, tuple) else ""
        asked = Asked(call.id, call.method, call.path, CIMultiDict(call.headers), client, call.facts)
        refusal = edge.refusal_of(error, asked, begun=call.begun)
        if refusal is None:
            self.abort()
            return False
        response = edge.refused(refusal, asked)
        finished(response, call.id, dialect_of(call.path))
        keeps = response.keep_alive is not False
        if transport is not None:
            transport.write(response_bytes(response, keeps=keeps))
            if self.drained is not None:
                await self.drain()
        return keeps

    def _keep(self, data: bytes) -> None:
        """Keep what follows a call until that is answered, and take no more from the system than so much."""
        self._buffer = data
        if len(data) > READ_AHEAD_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def _ended(self, *, keeps: bool) -> None:
        """No call is being answered any more."""
        self.task = self.goes_on = None
        transport = self.transport
        if transport is None:
            return
        self._idle_since = asyncio.get_running_loop().time()
        if not keeps:
            transport.close()
            return
        self._resume()
        # A task that is cancelled before it has begun would never give back what it took.
        if self._buffer and not transport.is_closing():
            data, self._buffer = self._buffer, b""
            self._read(data)

    def _wait(self, head: CallHead, data: bytes) -> None:
        """Wait a moment for the rest of a body: most clients send it right behind the head."""
        self._buffer, self._awaited, self.had_request = data, head, True
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(AT_HAND_SECONDS, self._late)

    def _wait_no_more(self) -> None:
        self._awaited = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._hand_over(self._buffer)

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp have the connection, and what has come of the next request."""
        transport = self.transport
        assert transport is not None, "what comes, comes over a connection"
        if transport.is_closing():
            return
        protocol = self._server.by_aiohttp()
        self._resume()
        self._let_go()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.had_call = self.had_call
        if not self.had_request:
            protocol.opened_at = self.opened_at
        if self.drained is not None:
            protocol.pause_writing()
        protocol.data_received(data)

    def _resume(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def _let_go(self) -> None:
        """The connection is no longer this one's."""
        self._wait_no_more()
        self._buffer = b""
        self.transport = None
        self._server.open.discard(self)
        self._server.watch.remove(self)
