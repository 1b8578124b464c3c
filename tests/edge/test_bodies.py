"""Bodies as they come over a connection: what is at hand, what is waited for, and that memory comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from proxy.call.base import InboundRequest
from proxy.call.relay import ClientReply, Relay
from proxy.clock import SystemClock
from proxy.edge.bodies import BodyReader, Bounds
from proxy.edge.body_memory import SMALL_BYTES, BodyMemory
from proxy.edge.gateway import Gateway, expect_later
from proxy.edge.middleware import Edge
from proxy.errors import Refusal

LARGEST = 3 * SMALL_BYTES
BOUNDS = Bounds(LARGEST, 0.3, 5.0, 2 * LARGEST)
Script = Callable[[InboundRequest], Awaitable[bytes]]


class Scripted(Relay):
    """Answers by a script, in the place of the relay."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def relay(self, request: InboundRequest, reply: ClientReply) -> None:
        await reply.end(await self._script(request))


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[tuple[Gateway, int]]:
    """A gateway with a script behind it, and its port."""
    gateway = Gateway(relay=Scripted(script), bounds=BOUNDS)
    edge = Edge(clock=SystemClock(), payment_status=lambda: 402, on_refusal=lambda _: None)
    app = web.Application(middlewares=[edge.middleware()])
    app.router.add_route("*", "/", gateway.handle, expect_handler=expect_later)
    async with TestServer(app, handler_cancellation=True) as server:
        assert server.port is not None
        yield gateway, server.port


def head(length: int | None, *more: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = ("POST / HTTP/1.1", "Host: x", "Connection: close", framing, *more)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def whole(request: InboundRequest) -> bytes:
    """The body, at hand or not."""
    body = await request.body_at_hand()
    return body if body is not None else await request.body()


async def refuses(request: InboundRequest) -> bytes:
    """Read all of it, and refuse it then."""
    await whole(request)
    raise Refusal("invalid_json", "No.")


async def breaks(request: InboundRequest) -> bytes:
    """Read all of it, and fail."""
    await whole(request)
    raise RuntimeError("no")


ENDS: dict[str, tuple[Script, bytes, bytes]] = {
    "answered": (whole, head(LARGEST) + b"x" * LARGEST, b"200"),
    "answered, in chunks": (whole, head(None) + b"5\r\nhello\r\n0\r\n\r\n", b"200"),
    "refused": (refuses, head(LARGEST) + b"x" * LARGEST, b"400"),
    "a fault": (breaks, head(LARGEST) + b"x" * LARGEST, b"500"),
    "too large": (whole, head(LARGEST + 1), b"413"),
    "too large, in chunks": (
        whole,
        head(None) + b"%x\r\n%b\r\n" % (LARGEST + 1, b"x" * (LARGEST + 1)),
        b"413",
    ),
    "compressed": (whole, head(5, "Content-Encoding: gzip") + b"hello", b"415"),
    "too slow": (whole, head(LARGEST) + b"x" * (LARGEST - 1), b"408"),
    "too slow, and small": (whole, head(5) + b"hell", b"408"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_every_end_of_a_call_gives_its_memory_back(name: str) -> None:
    """Whatever becomes of a body and its call, nothing of the budget stays behind."""
    script, request, status = ENDS[name]
    async with serving(script) as (gateway, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        async with asyncio.timeout(30):
            answer = await reader.readline()
            # The server would listen for the rest of a body for a while.
            writer.close()
            while gateway.in_flight:
                await asyncio.sleep(0)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (gateway.memory.used_bytes, len(gateway.memory.arriving), gateway.in_flight) == (0, 0, 0)


async def twice(request: InboundRequest) -> bytes:
    """The body, and again, as for a call that is routed anew."""
    body = await whole(request)
    assert await request.body_at_hand() == body
    return body + body


@pytest.mark.parametrize("size", [0, 5, LARGEST])
async def test_a_body_that_was_read_is_at_hand_again(size: int) -> None:
    """It takes no more memory then, and gives it back once."""
    async with serving(twice) as (gateway, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(size) + b"x" * size)
        async with asyncio.timeout(30):
            answer = await reader.read()
            writer.close()
            while gateway.in_flight:
                await asyncio.sleep(0)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"x") >= 2 * size
        assert gateway.memory.used_bytes == 0


@pytest.mark.parametrize("part", [1, SMALL_BYTES, LARGEST - 1])
async def test_a_client_that_leaves_takes_its_memory_with_it(part: int) -> None:
    """Its connection ends while its body is read, and so does the call."""
    async with serving(whole) as (gateway, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(LARGEST) + b"x" * part)
        async with asyncio.timeout(30):
            while gateway.memory.used_bytes < part:
                await asyncio.sleep(0)
            writer.close()
            while gateway.in_flight:
                await asyncio.sleep(0)
        assert (gateway.memory.used_bytes, len(gateway.memory.arriving)) == (0, 0)


async def test_a_body_counts_until_its_call_has_ended() -> None:
    """The call may still need it, for another target or to be counted."""
    used: list[int] = []
    go = asyncio.Event()

    async def waits(request: InboundRequest) -> bytes:
        body = await whole(request)
        used.append(gateway.memory.used_bytes)
        await go.wait()
        return body[:2]

    async with serving(waits) as (gateway, port):
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in pairs:
            writer.write(head(SMALL_BYTES) + b"x" * SMALL_BYTES)
        async with asyncio.timeout(30):
            while len(used) < 2:
                await asyncio.sleep(0)
            assert gateway.memory.used_bytes == 2 * SMALL_BYTES
            go.set()
            for reader, writer in pairs:
                assert (await reader.read()).endswith(b"\r\n\r\nxx")
                writer.close()
        assert gateway.memory.used_bytes == 0


@pytest.mark.parametrize(
    ("request_bytes", "at_hand"),
    [
        (head(5) + b"hello", True),
        (head(0), True),
        (head(SMALL_BYTES) + b"x" * SMALL_BYTES, True),
        (head(5) + b"hell", False),
        (head(SMALL_BYTES + 1), False),
        (head(None) + b"1\r\nx\r\n", False),
        (head(5, "Expect: 100-continue"), False),
    ],
)
async def test_what_is_at_hand(request_bytes: bytes, at_hand: bool) -> None:
    """A small body that comes with its head or right after; for every other a caller has to be worth it."""
    found: list[bool] = []

    async def looks(request: InboundRequest) -> bytes:
        found.append(await request.body_at_hand() is not None)
        return b""

    async with serving(looks) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    assert found == [at_hand]


async def test_a_body_in_parts_is_whole() -> None:
    """What was read while it was thought to be at hand is not lost when it was not."""
    async with serving(whole) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(10) + b"hello")
        await asyncio.sleep(0.15)
        writer.write(b"world")
        async with asyncio.timeout(30):
            assert (await reader.read()).endswith(b"\r\n\r\nhelloworld")
        writer.close()


async def test_bodies_that_come_together_are_read_one_after_the_other() -> None:
    """There is room for one and a half: each gets through, as none holds a part that another waits for."""
    async with serving(whole) as (gateway, port):
        rest = gateway.memory.share(BOUNDS.body_memory_bytes, LARGEST)
        assert gateway.memory.took(rest, SMALL_BYTES // 2)
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for part in range(3):
            for _, writer in pairs:
                writer.write((b"" if part else head(LARGEST)) + b"x" * SMALL_BYTES)
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            for reader, writer in pairs:
                assert (await reader.read()).endswith(b"x" * LARGEST)
                writer.close()
        rest.let_go()
        assert gateway.memory.used_bytes == 0


class Come:
    """A body of which all has come by the time when its first part is read, but not with its head."""

    def __init__(self) -> None:
        self._parts = [b"hello"]

    def is_eof(self) -> bool:
        return False

    def at_eof(self) -> bool:
        return not self._parts

    async def readany(self) -> bytes:
        return self._parts.pop()


async def test_a_body_that_has_come_still_needs_room() -> None:
    """One that was read while there was no room waits for it like any other, and counts."""
    memory = BodyMemory(now=asyncio.get_running_loop().time)
    full = [memory.share(BOUNDS.body_memory_bytes, LARGEST) for _ in range(2 * LARGEST // SMALL_BYTES)]
    assert all(memory.took(share, SMALL_BYTES) for share in full)
    request = make_mocked_request("POST", "/", {"Content-Length": "5"}, payload=cast("Any", Come()))
    reader = BodyReader(request, BOUNDS, memory)
    assert await reader.at_hand() is None
    assert memory.used_bytes == BOUNDS.body_memory_bytes
    for share in full:
        share.let_go()
    assert await reader.whole() == b"hello"
    assert memory.used_bytes == 5
    reader.let_go()
    assert memory.used_bytes == 0
