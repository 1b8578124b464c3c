"""Connections over which calls come, read here or by aiohttp: nobody can tell which of them it was."""

import asyncio
import re
import socket

import pytest

from proxy.call.base import InboundRequest
from proxy.call.relay import ClientReply
from proxy.edge.bodies import AT_HAND_SECONDS
from proxy.edge.body_memory import SMALL_BYTES
from proxy.edge.call_connection import READ_AHEAD_BYTES, CallConnection
from proxy.errors import Refusal
from proxy.ledger.store import LedgerUnavailable
from tests.edge.listening import EVENTS, JSON, PATH, PATIENCE_SECONDS, Script, client, echo, request, serving


async def test_calls_follow_one_another_on_a_connection() -> None:
    """Each is answered in its turn, also when they were all sent at once; aiohttp sees none of them."""
    async with serving(echo) as scene, client(scene.port) as one:
        one.writer.write(request(b"first"))
        assert (await one.answer())[2] == b"first"
        one.writer.write(b"".join(request(b"%d" % number) for number in range(20)))
        assert [(await one.answer())[2] for _ in range(20)] == [b"%d" % number for number in range(20)]
        assert scene.read_here == [True] * 21
        assert scene.connection().had_call


@pytest.mark.parametrize("cut", [1, 3, 40])
async def test_a_body_may_come_a_moment_after_its_head(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many clients write the two by themselves; the pieces of a body may be small."""
    monkeypatch.setattr("proxy.edge.call_connection.AT_HAND_SECONDS", PATIENCE_SECONDS)
    sent = request(b"x" * 100)
    start = sent.index(b"\r\n\r\n") + 4
    async with serving(echo) as scene, client(scene.port) as one:
        one.writer.write(sent[:start])
        for place in range(start, len(sent), cut):
            await asyncio.sleep(0)
            one.writer.write(sent[place : place + cut])
        assert (await one.answer())[2] == b"x" * 100
        assert scene.read_here == [True]


@pytest.mark.parametrize("pause", [2 * AT_HAND_SECONDS])
async def test_a_body_that_takes_longer_is_waited_for_by_aiohttp(pause: float) -> None:
    """With the bounds in time and memory that such bodies have; the connection goes on afterwards."""
    sent = request(b"slow")
    async with serving(echo) as scene, client(scene.port) as one:
        one.writer.write(request(b"first") + sent[:-2])
        assert (await one.answer())[2] == b"first"
        await asyncio.sleep(pause)
        one.writer.write(sent[-2:] + request(b"last"))
        assert [(await one.answer())[2] for _ in range(2)] == [b"slow", b"last"]
        assert scene.read_here == [True, False, False]


OTHERS = {
    "a large body": request(b"x" * (SMALL_BYTES + 1)),
    "another version": request(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a query": request(b"{}").replace(PATH.encode(), PATH.encode() + b"?a=b"),
    "chunks": request(b"{}", "X: y").replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")[:-2]
    + b"2\r\n{}\r\n0\r\n\r\n",
    "an upgrade": request(b"{}", "Connection: Upgrade", "Upgrade: h2c"),
    "a header beyond ASCII": request(b"{}", "X-A: \u00e9"),
    "many fields": request(b"{}", *(f"X-{number}: y" for number in range(100))),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_is_no_ordinary_call_is_read_by_aiohttp(name: str) -> None:
    """Also behind ordinary ones: no byte is lost or read twice."""
    async with serving(echo) as scene, client(scene.port) as one:
        one.writer.write(request(b"first") + OTHERS[name])
        assert (await one.answer())[2] == b"first"
        assert (await one.answer())[2] in (b"{}", b"x" * (SMALL_BYTES + 1))
        assert scene.read_here == [True, False]


@pytest.mark.parametrize(
    "rest", [b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
)
async def test_what_is_no_call_is_refused_by_aiohttp(rest: bytes) -> None:
    """In the shape of every refusal."""
    async with serving(echo) as scene, client(scene.port) as one:
        one.writer.write(request(b"first") + rest)
        assert (await one.answer())[2] == b"first"
        line, _, body = await one.answer()
        assert line.split()[1] in ("404", "400")
        assert b'"error"' in body
        assert scene.read_here == [True]


async def stream(asked: InboundRequest, reply: ClientReply) -> None:
    reply.head(200, EVENTS)
    await reply.write(b"data: 1\n\n")
    reply.add_headers({"x-late": "too late"})
    await reply.end(b"data: 2\n\n")


async def large(asked: InboundRequest, reply: ClientReply) -> None:
    reply.head(200, JSON)
    await reply.end(b"x" * 3_000_000)


async def bodiless(asked: InboundRequest, reply: ClientReply) -> None:
    reply.head(204, [("X-A", "b")])
    await reply.end()


async def breaks_off(asked: InboundRequest, reply: ClientReply) -> None:
    reply.head(200, EVENTS)
    await reply.write(b"data: 1\n\n")
    await reply.break_off(Refusal("hold_outgrown", "No more."))


def raising(error: Exception, *, late: bool = False) -> Script:
    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        asked.facts["account_id"] = "acct_1"
        if late:
            reply.head(200, JSON)
            await reply.write(b"{")
        raise error

    return script


SCRIPTS: dict[str, Script] = {
    "whole": echo,
    "stream": stream,
    "large": large,
    "bodiless": bodiless,
    "broken off": breaks_off,
    "refused": raising(Refusal("credit_balance_exhausted", "No.", headers={"X-Why": "that"})),
    "denied": raising(Refusal("invalid_api_key", "No.")),
    "overloaded": raising(Refusal("overloaded", "No.")),
    "ledger away": raising(LedgerUnavailable("no")),
    "a fault": raising(RuntimeError("no")),
    "refused late": raising(Refusal("upstream_failed", "No."), late=True),
    "a late fault": raising(RuntimeError("no"), late=True),
}


async def _seen(port: int, sent: bytes) -> bytes:
    """All that a client sees, until the connection ends or is silent, without what differs each time."""
    async with client(port) as one:
        one.writer.write(sent)
        seen = b""
        try:
            while piece := await asyncio.wait_for(one.reader.read(65_536), 0.5 if seen else 20.0):
                seen += piece
        except TimeoutError:
            seen += b"(kept)"
        except ConnectionError:
            seen += b"(reset)"
    seen = re.sub(rb"req_\w+", b"req", seen)
    head = re.sub(rb"(?m)^Date: .*$", b"Date", seen)
    return b"\r\n\r\n".join(b"\r\n".join(sorted(part.split(b"\r\n"))) for part in head.split(b"\r\n\r\n"))


@pytest.mark.parametrize("name", SCRIPTS)
async def test_an_answer_is_the_same_whoever_read_its_request(name: str) -> None:
    """Status, fields, body, and whether the connection is kept, for every way in which a call can end."""
    async with serving(SCRIPTS[name]) as scene:
        here = await _seen(scene.port, request(b"hello"))
        aiohttps = await _seen(scene.port, request(b"hello", "X-A: \u00e9"))
    assert scene.read_here == [True, False]
    assert here == aiohttps
    assert here


async def test_a_call_is_cancelled_when_its_client_leaves() -> None:
    """At once, unless it says that it goes on: then it does, and its answer goes nowhere."""
    began, ended, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    outcomes: list[str] = []

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        stays = await asked.body_at_hand() == b"stays"
        reply.on_left(lambda: stays)
        began.set()
        try:
            await may_end.wait()
            await reply.end(b"{}")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        except ConnectionResetError:
            outcomes.append("nobody there")
            raise
        finally:
            ended.set()

    async with serving(script) as scene:
        for body in (b"leaves", b"stays"):
            began.clear()
            ended.clear()
            async with client(scene.port) as one, asyncio.timeout(10):
                one.writer.write(request(body))
                await began.wait()
            async with asyncio.timeout(10):
                while len(scene.watch):
                    await asyncio.sleep(0)
                assert len(scene.watch.alone) == (body == b"stays")
                if body == b"stays":
                    may_end.set()
                await ended.wait()
        assert outcomes == ["cancelled", "nobody there"]
        async with asyncio.timeout(10):
            while scene.gateway.in_flight or scene.watch.alone:
                await asyncio.sleep(0)


async def test_a_client_that_does_not_read_is_cut() -> None:
    """After the bound, and nothing is left of its call."""
    async with serving(large, write_seconds=0.3) as scene:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(one, ("127.0.0.1", scene.port))
            await loop.sock_sendall(one, request())
            async with asyncio.timeout(10):
                while not scene.relay.readers:
                    await asyncio.sleep(0)
                connection = scene.connection()
                while len(scene.watch):
                    await asyncio.sleep(0.01)
        assert (scene.gateway.in_flight, connection.unsent_bytes, connection.taken_bytes) == (0, 0, 0)


async def test_requests_that_nobody_waits_for_are_not_taken_from_the_system() -> None:
    """While a call is at work a client may send so much more, and no further."""
    may_end = asyncio.Event()

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        await may_end.wait()
        await reply.end(b"{}")

    async with serving(script) as scene, client(scene.port) as one:
        sent, count = request(b"x" * 10_000), 1_000
        one.writer.write(sent)
        one.writer.write(sent * (count - 1))
        async with asyncio.timeout(30):
            while not scene.watch or not scene.connection()._paused:
                await asyncio.sleep(0.001)
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert len(scene.connection()._buffer) <= READ_AHEAD_BYTES + 2**18
            may_end.set()
            for _ in range(count):
                assert (await one.answer())[2] == b"{}"


async def test_a_body_for_which_there_is_no_room_is_read_by_aiohttp() -> None:
    """It waits there for its turn, and is refused in the end."""
    async with serving(echo, memory=10) as scene, client(scene.port) as one:
        one.writer.write(request(b"12345"))
        assert (await one.answer())[2] == b"12345"
        assert scene.gateway.memory.took_small(8, 10)
        one.writer.write(request(b"54321"))
        async with asyncio.timeout(10):
            while len(scene.relay.readers) < 2:
                await asyncio.sleep(0)
        scene.gateway.memory.give_back(8)
        assert (await one.answer())[2] == b"54321"
        assert scene.read_here == [True, False]


async def test_a_process_that_ends_answers_what_it_has_and_closes_every_connection() -> None:
    """Idle ones at once, those at work with their answer or after the bound; a late call hears why."""
    may_end = asyncio.Event()

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        if await asked.body_at_hand() == b"ends":
            await may_end.wait()
        else:
            await asyncio.Event().wait()
        await reply.end(b"{}")

    async with (
        serving(script) as scene,
        client(scene.port) as idle,
        client(scene.port) as ends,
        client(scene.port) as hangs,
        client(scene.port) as late,
    ):
        ends.writer.write(request(b"ends"))
        hangs.writer.write(request(b"hangs"))
        async with asyncio.timeout(10):
            while len(scene.relay.readers) < 2:
                await asyncio.sleep(0)
        scene.gateway.draining = True
        late.writer.write(request(b"late"))
        line, fields, _ = await late.answer()
        assert (line.split()[1], fields["Connection"]) == ("503", "close")
        assert await late.is_closed()
        closing = asyncio.ensure_future(scene.listener.close(0.1))
        may_end.set()
        assert (await ends.answer())[2] == b"{}"
        await closing
        for one in (idle, ends, hangs):
            assert await one.is_closed()
        assert not len(scene.watch)


async def test_the_watch_sees_a_connection_as_it_is() -> None:
    """New, at work, idle; and it can end it."""
    go_on = asyncio.Event()

    async def script(asked: InboundRequest, reply: ClientReply) -> None:
        await go_on.wait()
        await reply.end(b"{}")

    async with serving(script) as scene, client(scene.port) as one, asyncio.timeout(10):
        while not len(scene.watch):
            await asyncio.sleep(0)
        connection = scene.connection()
        now = asyncio.get_running_loop().time()
        assert (connection.had_request, connection.had_call) == (False, False)
        assert now - 5 < connection.opened_at <= now
        one.writer.write(request())
        while not scene.relay.readers:
            await asyncio.sleep(0)
        assert (connection.idle_since, connection.had_request) == (None, True)
        go_on.set()
        await one.answer()
        while connection.task is not None:
            await asyncio.sleep(0)
        assert (connection.idle_since or 0.0) >= now
        assert connection.had_call
        assert connection.unsent_bytes == 0
        assert connection.taken_bytes > 0
        connection.abort()
        assert await one.is_closed()


async def test_a_connection_that_aiohttp_takes_over_is_as_old_as_it_is() -> None:
    """One that sends no whole head for long is ended, whoever waits for it; had calls are not forgotten."""
    async with serving(echo) as scene, client(scene.port) as new, client(scene.port) as used:
        async with asyncio.timeout(10):
            while len(scene.watch) < 2:
                await asyncio.sleep(0)
        opened = {connection.opened_at for connection in scene.watch._connections}
        new.writer.write(b"POST ")
        used.writer.write(request() + b"POST ")
        await used.answer()
        async with asyncio.timeout(10):
            while any(isinstance(connection, CallConnection) for connection in scene.watch._connections):
                await asyncio.sleep(0)
        first, second = sorted(scene.watch._connections, key=lambda connection: connection.had_call)
        assert (first.had_call, second.had_call) == (False, True)
        assert first.opened_at in opened
        assert second.opened_at not in opened
