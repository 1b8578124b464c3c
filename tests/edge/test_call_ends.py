"""How connections with calls end, and what they may take until then."""

import asyncio
import socket

import pytest

from proxy.call.base import InboundRequest
from proxy.call.relay import ClientReply
from proxy.edge.call_connection import CallConnection
from proxy.errors import Refusal
from tests.edge.listening import PATIENCE_SECONDS, Scene, client, echo, request, serving

CALLS = 20_000
UNSENT_MAX_BYTES = 131_072


async def _connected(scene: Scene, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(scene.watch) < count:
            await asyncio.sleep(0)


async def test_no_call_begins_on_a_connection_that_ends() -> None:
    """What its client had sent behind another call is forgotten, and takes no memory."""

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        await reply.end(b"{}")
        scene.connection().abort()

    async with serving(script) as scene, client(scene.port) as one:
        one.writer.write(request() + request(b"another"))
        async with asyncio.timeout(10):
            while not scene.relay.readers or len(scene.watch):
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert scene.relay.readers == ["OrdinaryCall"]
        assert scene.gateway.memory.used_bytes == 0


async def test_refusals_that_nobody_reads_stop_the_calls() -> None:
    """A client that sends and does not read must not fill the memory with answers."""

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        raise Refusal("missing_api_key", "No.")

    async with serving(script) as scene, client(scene.port) as one:
        await _connected(scene)
        connection = scene.connection()
        one.writer.write(request() * CALLS)
        answered = -1
        async with asyncio.timeout(30):
            while answered != len(scene.relay.readers):
                answered = len(scene.relay.readers)
                await asyncio.sleep(0.2)
        assert 0 < answered < CALLS
        assert connection.unsent_bytes < UNSENT_MAX_BYTES
        connection.abort()
        async with asyncio.timeout(10):
            while len(scene.watch) or connection.task is not None:
                await asyncio.sleep(0)


async def test_a_new_connection_is_idle_since_it_was_made() -> None:
    """When there are too many, an older one that is just as useless makes room."""
    async with serving(echo) as scene, client(scene.port) as older:
        older.writer.write(b"P")
        async with asyncio.timeout(10):
            while not len(scene.watch) or isinstance(next(iter(scene.watch._connections)), CallConnection):
                await asyncio.sleep(0)
        (old,) = scene.watch._connections
        async with client(scene.port):
            await _connected(scene, 2)
            _, new = scene.watch._connections
            assert new.idle_since == new.opened_at
            assert scene.watch._idlest() is old


async def test_a_connection_whose_call_is_coming_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for its first call, and not for one after a long silence: the watch must not close it."""
    monkeypatch.setattr("proxy.edge.call_connection.AT_HAND_SECONDS", PATIENCE_SECONDS)
    async with serving(echo) as scene, client(scene.port) as one:
        for _ in range(2):
            one.writer.write(request(b"12")[:-1])
            await _connected(scene)
            connection = scene.connection()
            async with asyncio.timeout(10):
                while connection._awaited is None:
                    await asyncio.sleep(0)
            assert connection.idle_since is None
            assert connection.had_request
            one.writer.write(b"2")
            assert (await one.answer())[2] == b"12"
        assert scene.read_here == [True, True]


async def test_the_system_treats_all_connections_alike() -> None:
    """Small pieces are sent at once, and a client that vanished is found out, whoever reads its requests."""
    options: list[list[int]] = []

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        (connection,) = scene.watch._connections
        transport = getattr(connection, "transport", None)
        assert transport is not None
        made = transport.get_extra_info("socket")
        asked_for = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY)]
        options.append([made.getsockopt(level, name) for level, name in asked_for])
        await reply.end(b"{}")

    async with serving(script) as scene, client(scene.port) as one:
        for sent in (request(), request(b"{}", "X-A: \u00e9")):
            one.writer.write(sent)
            await one.answer()
        assert scene.read_here == [True, False]
    assert options == [[1, 1], [1, 1]]
