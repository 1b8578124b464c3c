"""Connections between requests: which are kept, which are closed, and whose an answer is."""

import asyncio
from unittest.mock import Mock

import msgspec
import pytest

from proxy.tasks import Tasks
from proxy.upstream.base import UpstreamFailure
from proxy.upstream.client import HttpUpstreams
from proxy.upstream.connection import Connection as UpstreamConnection
from proxy.upstream.connection import Incoming, RequestBytes
from proxy.upstream.routes import Target
from tests.upstream.calls import fetched, to, upstream_request
from tests.upstream.scripted import (
    OK,
    STREAM_HEAD,
    Connection,
    Scripted,
    answering,
    http_answer,
    http_chunk,
    scripted,
)


def _kept_for(upstream: Scripted, seconds: float) -> Target:
    target = to(upstream)
    return Target(msgspec.structs.replace(target.upstream, keepalive_seconds=seconds))


async def test_a_connection_that_nobody_needs_is_closed(client: HttpUpstreams) -> None:
    """After `keepalive_seconds` without a request the upstream sees the end of it."""
    gone = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.gone()
        gone.set()

    async with scripted(script) as upstream:
        assert await fetched(client, _kept_for(upstream, 0.05)) == (200, b"{}")
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_kept_connection_waits_for_a_slow_answer(client: HttpUpstreams) -> None:
    """`keepalive_seconds` is about the time between requests, not about the one that follows."""

    async def script(connection: Connection) -> None:
        for pause in (0.0, 0.15):
            await connection.request()
            await asyncio.sleep(pause)
            await connection.send(OK)

    async with scripted(script) as upstream:
        for _ in range(2):
            assert await fetched(client, _kept_for(upstream, 0.05)) == (200, b"{}")
        assert upstream.connections == 1


@pytest.mark.parametrize("follows", [OK, b"HTTP/1.1 200 OK\r\nContent-Le", b"H"])
async def test_what_follows_an_answer_is_no_answer(client: HttpUpstreams, follows: bytes) -> None:
    """Bytes right behind a whole answer, more of them later or not, are never taken for the next one."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(http_answer(b"mine") + follows)
        await connection.gone()

    async with scripted(script) as upstream:
        for _ in range(2):
            assert await fetched(client, to(upstream)) == (200, b"mine")
        assert upstream.connections == 2


async def test_a_request_that_is_not_read_whole_leaves_no_connection(client: HttpUpstreams) -> None:
    """The rest of an upload that outlives its answer would be read as the next request."""

    async def script(connection: Connection) -> None:
        await connection.send(OK)
        await connection.gone()

    async with scripted(script) as upstream:
        for _ in range(2):
            assert await fetched(client, to(upstream), upstream_request(b"x" * 30_000_000)) == (200, b"{}")
        assert upstream.connections == 2


async def test_the_answer_to_a_head_request_leaves_its_connection(client: HttpUpstreams) -> None:
    """It has no body, so that the next answer begins where it ends; that one may have a body."""
    told = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    async with scripted(answering(told, OK)) as upstream:
        assert await fetched(client, to(upstream), upstream_request(b"", method="HEAD")) == (200, b"")
        assert await fetched(client, to(upstream)) == (200, b"{}")
        assert upstream.connections == 1


async def test_interim_answers_are_passed_over(client: HttpUpstreams) -> None:
    """A 1xx is not the answer; the one that follows is."""
    async with scripted(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)) as upstream:
        for _ in range(2):
            assert await fetched(client, to(upstream)) == (200, b"{}")
        assert upstream.connections == 1


async def test_what_came_before_a_fault_is_handed_on_first(client: HttpUpstreams) -> None:
    """A slow reader of a stream that broke meanwhile gets the bytes that came, and then the failure."""
    hung_up = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + http_chunk(b"one"))
        connection.close()
        hung_up.set()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        await hung_up.wait()
        await asyncio.sleep(0.05)
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        with pytest.raises(UpstreamFailure) as caught:
            await anext(chunks)
        answer.close()
    assert caught.value.code == "upstream_failed"


@pytest.mark.parametrize("pauses", [0, 1])
async def test_a_cancel_at_any_moment_is_nobody_elses_trouble(client: HttpUpstreams, pauses: int) -> None:
    """An answer that came just before its caller left, or while it did, leaves a connection to others."""
    async with scripted(answering(OK)) as upstream:
        for turns in range(40):
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(client.send(to(upstream), upstream_request(b"leaving")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                staying = [group.create_task(fetched(client, to(upstream))) for _ in range(2)]
                for _ in range(pauses):
                    await asyncio.sleep(0)
                leaving.cancel()
            assert [task.result() for task in staying] == [(200, b"{}")] * 2


@pytest.mark.parametrize(
    "field", [("X-A", "a\r\nX-Evil: b"), ("X-A", "a\x00"), ("X-A\nX-Evil", "a"), ("X-A", "\u00a0\x7f")]
)
async def test_a_header_cannot_break_out_of_its_line(client: HttpUpstreams, field: tuple[str, str]) -> None:
    """A control character in a field is refused before anything is sent."""
    async with scripted(answering(OK)) as upstream:
        with pytest.raises(ValueError, match="header field"):
            await client.send(to(upstream), upstream_request(b"{}", field))
        assert not upstream.connections


async def test_a_header_may_hold_what_is_no_control_character(client: HttpUpstreams) -> None:
    """Tabs and characters beyond ASCII go up as they are, in UTF-8."""
    async with scripted(answering(OK)) as upstream:
        await fetched(client, to(upstream), upstream_request(b"{}", ("X-A", "a\tb\u00a0\u00e9\u2603")))
    assert upstream.requests[0].values("X-A")[0].encode("latin-1").decode() == "a\tb\u00a0\u00e9\u2603"


class _Transport(asyncio.Transport):
    """A connection that keeps what is written, and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False
        self.protocol: UpstreamConnection | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def abort(self) -> None:
        pass


class _Keeper:
    """A pool of what is kept."""

    def __init__(self) -> None:
        self.kept: list[UpstreamConnection] = []

    def keep(self, connection: UpstreamConnection) -> None:
        self.kept.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Nothing has to be done."""


def _made() -> tuple[UpstreamConnection, _Transport, _Keeper]:
    transport, keeper = _Transport(), _Keeper()
    connection = UpstreamConnection(Mock(), b"", keeper)
    connection.connection_made(transport)
    return connection, transport, keeper


async def _asked(connection: UpstreamConnection, answer: bytes, body: bytes = b"") -> Incoming:
    """What comes of a request whose answer begins so."""
    tasks = Tasks(lambda *_: None)
    asking = asyncio.ensure_future(
        connection.exchange(RequestBytes(b"", body, is_head=False), first_byte_seconds=5.0, tasks=tasks)
    )
    await asyncio.sleep(0)
    connection.data_received(answer)
    _, incoming = await asking
    return incoming


async def test_a_body_that_nobody_reads_pauses_the_connection() -> None:
    """More than a bound is not taken from the system; reading what came goes on with the rest."""
    connection, transport, keeper = _made()
    size = 4_000_000
    incoming = await _asked(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    read = 0
    while read < size:
        came = 0
        while not transport.is_paused and not incoming.ended:
            connection.data_received(bytes(min(65_536, size - read - came)))
            came += min(65_536, size - read - came)
        assert came <= 4 * 65_536
        read += len(incoming.take())
        assert not transport.is_paused
    assert incoming.ended
    assert keeper.kept == [connection]


async def test_a_connection_that_is_kept_is_not_paused() -> None:
    """An answer may come whole while it is too much to read at once; the next one must be heard."""
    connection, transport, keeper = _made()
    size = 400_000
    incoming = await _asked(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    connection.data_received(bytes(size - 1))
    assert transport.is_paused
    connection.data_received(b"\0")  # TLS hands on what it has decrypted, paused or not.
    assert (incoming.ended, keeper.kept, transport.is_paused) == (True, [connection], False)
    following = await _asked(connection, OK)
    assert (following.take(), len(incoming.take())) == (b"{}", size)


async def test_a_long_body_is_written_whole_and_with_a_turn_of_the_loop_after_each_piece() -> None:
    """In order, also to an upstream that takes everything at once."""
    connection, transport, _ = _made()
    body = bytes(range(256)) * 16_384
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while len(transport.written) < len(body):
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.ensure_future(turn())
    await _asked(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", body)
    await others
    assert transport.written == body
    assert turns >= 64


async def test_a_long_body_is_written_as_fast_as_it_is_read() -> None:
    """While the system takes no more, no more is written; the end of the connection ends the waiting."""
    connection, transport, _ = _made()
    connection.pause_writing()
    incoming = await _asked(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", bytes(1_000_000))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(transport.written) == 65_536
    connection.resume_writing()
    connection.pause_writing()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(transport.written) == 2 * 65_536
    connection.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(transport.written) == 2 * 65_536
    assert not incoming.ended
