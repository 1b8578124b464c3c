"""A listener with a script in the place of the relay, and clients of raw bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from proxy.call.base import InboundRequest
from proxy.call.relay import ClientReply, Relay
from proxy.clock import SystemClock
from proxy.edge.bodies import Bounds
from proxy.edge.body_memory import SMALL_BYTES
from proxy.edge.call_connection import CallConnection
from proxy.edge.gateway import Gateway, expect_later
from proxy.edge.listener import Listener
from proxy.edge.middleware import Edge
from proxy.edge.watch import ConnectionWatch, usual_pace
from proxy.tasks import Tasks

PATH = "/v1/chat/completions"
JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream")]
LARGEST = 4 * SMALL_BYTES
PATIENCE_SECONDS = 20.0
"""Longer than a busy machine keeps a test waiting."""
Script = Callable[[InboundRequest, ClientReply], Awaitable[None]]


class Scripted(Relay):
    """Answers by a script, in the place of the relay, and notes who read each request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.readers: list[str] = []

    async def relay(self, request: InboundRequest, reply: ClientReply) -> None:
        self.readers.append(type(request).__name__)
        await self._script(request, reply)


@dataclass
class Scene:
    """A listener with a script behind it."""

    port: int
    relay: Scripted
    gateway: Gateway
    watch: ConnectionWatch
    listener: Listener
    faults: list[str] = field(default_factory=list)

    @property
    def read_here(self) -> list[bool]:
        """Of each call whether it was read without aiohttp."""
        return [name == "OrdinaryCall" for name in self.relay.readers]

    def connection(self) -> CallConnection:
        """The only connection that there is."""
        (found,) = self.watch._connections
        assert isinstance(found, CallConnection)
        return found


@asynccontextmanager
async def serving(
    script: Script, *, memory: int = 2 * LARGEST, write_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Scene]:
    """A listener on loopback."""
    loop, clock, faults = asyncio.get_running_loop(), SystemClock(), []
    relay = Scripted(script)
    gateway = Gateway(relay=relay, bounds=Bounds(LARGEST, PATIENCE_SECONDS, write_seconds, memory))
    edge = Edge(clock=clock, payment_status=lambda: 402, on_refusal=lambda _: None)
    app = web.Application(middlewares=[edge.middleware()])
    app.router.add_route("*", PATH, gateway.handle, expect_handler=expect_later)
    watch = ConnectionWatch(pace=lambda: usual_pace(write_seconds), now=loop.time, most=100)
    listener = Listener(
        app,
        direct=[PATH],
        gateway=gateway,
        edge=edge,
        clock=clock,
        tasks=Tasks(lambda name, error: faults.append(f"{name}: {error!r}")),
        watch=watch,
        shutdown_seconds=0.2,
    )
    port = await listener.open("127.0.0.1", 0)
    scene = Scene(port, relay, gateway, watch, listener, faults)
    try:
        yield scene
    finally:
        await listener.close(0.5)
    assert gateway.memory.used_bytes == 0
    assert not faults


def request(body: bytes = b"{}", *fields: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Client:
    """A client of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[str, dict[str, str], bytes]:
        """The next answer: its status line, its fields, its body. Raises IncompleteReadError for none."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip("\r\n").split("\r\n")
            fields = dict(text.split(": ", 1) for text in lines)
            if "Content-Length" in fields:
                return line, fields, await self.reader.readexactly(int(fields["Content-Length"]))
            body = b""
            while size := int((await self.reader.readline()), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
            return line, fields, body

    async def is_closed(self) -> bool:
        """Whether the other side ends the connection, with nothing more to say."""
        try:
            async with asyncio.timeout(10):
                return not await self.reader.read()
        except ConnectionError:
            return True


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def echo(asked: InboundRequest, reply: ClientReply) -> None:
    """What was sent."""
    body = await asked.body_at_hand()
    reply.head(200, JSON)
    await reply.end(await asked.body() if body is None else body)
