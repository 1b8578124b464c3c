"""What Farebox takes for granted of aiohttp's server although no documentation promises it."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from multidict import CIMultiDict

from proxy.edge.aiohttp_server import (
    HEAD_BYTES_MAX,
    RequestCallback,
    ServerProtocol,
    count_sent,
    drain,
    has_sent,
    is_write_paused,
    refuse_pure_python_parser,
    send_interim,
    serialized_head,
    when_lost,
    wrap_callback,
)
from tests.aiohttp_names import SERVER_NAMES, fault_of

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize("entry", SERVER_NAMES)
def test_aiohttp_has_each_name_that_is_used(entry: str) -> None:
    """A name, a member or a parameter that a new aiohttp moved is the one that fails here."""
    assert fault_of(entry) is None


def test_the_parser_is_the_strict_one() -> None:
    """The one in C, without which nothing is served."""
    refuse_pure_python_parser()


def test_a_head_is_serialized_whole() -> None:
    """A status line and headers as bytes, ended by an empty line; what would break the head is an error."""
    headers = CIMultiDict([("A", "1"), ("a", "2")])
    assert serialized_head("HTTP/1.1 200 OK", headers) == b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\n\r\n"
    with pytest.raises(ValueError, match=r"(?i)header"):
        serialized_head("HTTP/1.1 200 OK", CIMultiDict([("A", "1\r\nB: 2")]))


def on_fault(status: int, fault: BaseException | None) -> web.Response:
    """A response that tells what aiohttp says of a fault."""
    return web.Response(status=status, text=type(fault).__name__)


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[tuple[web.Server, int, list[ServerProtocol]]]:
    """A server of this protocol alone, its port, and the connections that it has had."""
    protocols: list[ServerProtocol] = []
    server = web.Server(handle)

    def protocol() -> ServerProtocol:
        one = ServerProtocol(
            server, linger_seconds=0.0, keepalive_seconds=5.0, on_fault=on_fault, alone=set()
        )
        protocols.append(one)
        return one

    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server, listening.sockets[0].getsockname()[1], protocols
    finally:
        listening.close()
        await server.shutdown(1.0)


async def ask(port: int, request: bytes) -> bytes:
    """All that comes back for a request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def ok(request: web.BaseRequest) -> web.StreamResponse:
    del request
    return web.Response(text="ok")


async def test_a_callback_is_wrapped_for_the_connections_to_come() -> None:
    """The server calls the outer one, and that may call the inner one."""
    seen: list[str] = []

    def wrap(inner: RequestCallback) -> RequestCallback:
        async def outer(request: web.BaseRequest) -> web.StreamResponse:
            seen.append(request.path)
            return await inner(request)

        return outer

    async with serving(ok) as (server, port, protocols):
        wrap_callback(server, wrap)
        assert (await ask(port, GET)).endswith(b"ok")
        assert [protocol.had_request for protocol in protocols] == [True]
    assert seen == ["/"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on a task begins at once")
async def test_the_task_of_a_connection_handles_its_requests_itself() -> None:
    """None waits two turns of the loop for a task of its own, and a timeout in one is none of the next."""
    tasks: set[object] = set()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)
        return web.Response(text="ok;")

    paths = (b"/", b"/", b"/last")
    async with serving(handle) as (_, port, protocols):
        heads = [b"GET %b HTTP/1.1\r\nHost: a\r\n" % path for path in paths]
        answers = await ask(port, b"\r\n".join(heads) + b"Connection: close\r\n\r\n")
        assert len(protocols) == 1
    assert (answers.count(b"ok;"), len(tasks)) == (3, 1)


@pytest.mark.parametrize(
    ("size", "is_read"), [(0, True), (10, True), (10, False), (70_000, True), (200_000, True)]
)
async def test_requests_that_come_together_are_all_handled_in_order(size: int, is_read: bool) -> None:
    """Those that wait in the parser go on without another byte, also behind a body whose reading paused."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"{request.path} {len(await request.read()) if is_read else size};")

    body = b"x" * size
    chunk = b"%x\r\n%b\r\n" % (size, body) if size else b""
    framings = (
        b"Content-Length: %d\r\n\r\n%b" % (size, body),
        b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunk,
    )
    many = b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\n%b" % (n, framings[n % 2]) for n in range(9))
    async with serving(handle) as (_, port, _):
        answers = await ask(port, many + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    told = [*(f"/{n} {size};" for n in range(9)), f"/last {0 if is_read else size};"]
    assert re.findall(rb"/\w+ \d+;", answers) == [each.encode() for each in told]


async def test_a_connection_without_a_request_has_had_none() -> None:
    """Not even the beginning of a head makes one."""
    async with serving(ok) as (_, port, protocols):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET[:10])
        await writer.drain()
        async with asyncio.timeout(10):
            while not protocols:
                await asyncio.sleep(0)
        assert not protocols[0].had_request
        protocols[0].force_close()
        writer.close()


async def never_ending(port: int, before: bytes) -> bytes:
    """Send the lines of a head for ever, after some whole requests; gives all that comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(before + GET[:-26])
    # What has come and is not read yet would be lost with the connection.
    received = bytearray(await reader.readuntil(b"\r\n\r\n") if before else b"")
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(30):
            while not reader.at_eof():
                writer.write(b"X-Line: %b\r\n" % (b"x" * 4_000))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    received += await asyncio.wait_for(reader.read(65_536), 0.01)
    writer.transport.abort()
    return bytes(received)


BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000


@pytest.mark.parametrize("before", [b"", GET.replace(b"close", b"keep-alive"), BODY])
async def test_a_head_without_an_end_is_cut(before: bytes) -> None:
    """First or later over its connection, and long before aiohttp has counted all the lines it lets pass."""
    async with serving(ok) as (_, port, protocols):
        received = await never_ending(port, before)
        assert b" 400 " not in received
        assert protocols[0].had_request == (b" 200 " in received) == bool(before)


@pytest.mark.parametrize("size", [1, HEAD_BYTES_MAX, 10 * HEAD_BYTES_MAX])
async def test_a_body_is_no_head(size: int) -> None:
    """However long it is, and in however many parts it comes, requests behind it are heads anew."""

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        body = b"".join([piece async for piece in request.content.iter_any()])
        return web.Response(text=str(len(body)))

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    async with serving(read) as (_, port, _):
        answers = await ask(port, (head + b"x" * size) * 2 + GET)
    assert answers.count(b"\r\n\r\n%d" % size) == 2
    assert answers.endswith(b"\r\n\r\n0")


@pytest.mark.parametrize("malformed", [b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
async def test_what_the_parser_refuses_is_answered_by_us(malformed: bytes) -> None:
    """The response is ours, with the status and exception that aiohttp gives, and it ends the connection."""
    async with serving(ok) as (_, port, _):
        answer = await ask(port, malformed)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert answer.rpartition(b"\r\n\r\n")[2].startswith(b"Bad")


async def test_bytes_written_past_aiohttp_count_as_sent() -> None:
    """An interim response does not, and neither does nothing; aiohttp then puts no error in its place."""
    states: list[bool] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        states.append(has_sent(request))
        await send_interim(request, b"HTTP/1.1 100 Continue\r\n\r\n")
        states.append(has_sent(request))
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        count_sent(request, 5)
        states.append(has_sent(request))
        raise RuntimeError("too late")

    async with serving(handle) as (_, port, _):
        answer = await ask(port, GET)
    assert states == [False, False, True]
    assert answer == b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbegun"


async def test_a_slow_client_pauses_the_writing() -> None:
    """What it has not taken is counted, and draining waits until it has taken most of it."""
    ended = asyncio.Event()
    size = 8_000_000

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        assert not is_write_paused(request)
        request.transport.write(b"x" * size)
        count_sent(request, size)
        assert is_write_paused(request)
        assert [one.unsent_bytes > 0 for one in protocols] == [True]
        reading.set()
        await drain(request)
        assert not is_write_paused(request)
        ended.set()
        raise ConnectionResetError

    reading = asyncio.Event()
    async with serving(handle) as (_, port, protocols):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
        writer.write(GET)
        async with asyncio.timeout(10):
            await reading.wait()
            await reader.readexactly(size)
            await ended.wait()
        assert [one.unsent_bytes for one in protocols] == [0]
        writer.close()


@pytest.mark.parametrize("goes_on", [True, False, None])
async def test_what_a_client_has_asked_for_goes_on_without_it_or_is_cancelled(goes_on: bool | None) -> None:
    """Whether it does is asked once, when the client has gone; nobody asks where nothing was said."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    asked: list[bool] = []
    cancelled: list[bool] = []

    def decide() -> bool:
        asked.append(True)
        return bool(goes_on)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        when_lost(request, None if goes_on is None else decide)
        begun.set()
        try:
            await may_end.wait()
            cancelled.append(False)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        finally:
            ended.set()
        return web.Response()

    async with serving(handle) as (server, port, _), asyncio.timeout(10):
        server.handler_cancellation = True
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        if goes_on:
            while not asked:
                await asyncio.sleep(0)
            may_end.set()
        await ended.wait()
    assert (cancelled, len(asked)) == ([not goes_on], int(goes_on is not None))
