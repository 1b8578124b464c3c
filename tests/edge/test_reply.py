"""Replies as clients of HTTP/1.0 and HTTP/1.1 receive them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.edge.middleware import REQUEST_ID
from proxy.edge.reply import PIECE_BYTES, SENT_AND_CLOSED, SENT_AND_KEPT, HttpReply, RequestExchange
from proxy.errors import Refusal

Script = Callable[[HttpReply], Awaitable[None]]
Ask = Callable[[Script, bytes], Awaitable[bytes]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OLD_GET_AND_KEEP = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
JSON = [("Content-Type", "application/json")]
EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Send requests over one connection to a server that answers by a script; all that comes back."""
    scripts: list[Script] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "req_1"
        reply = HttpReply(RequestExchange(request), 5.0)
        await scripts[-1](reply)
        return SENT_AND_KEPT if reply.keeps else SENT_AND_CLOSED

    app = web.Application()
    app.router.add_route("*", "/", handle)
    async with TestServer(app) as server:

        async def ask_it(script: Script, requests: bytes) -> bytes:
            scripts.append(script)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(requests)
            async with asyncio.timeout(10):
                answers = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answers

        yield ask_it


async def whole(reply: HttpReply) -> None:
    """A whole answer."""
    reply.head(200, JSON)
    reply.add_headers({"x-farebox-cost": "0.01"})
    await reply.end(b"{}")


async def stream(reply: HttpReply) -> None:
    """An answer whose length is not known when it begins."""
    reply.head(200, EVENTS)
    await reply.write(b"data: 1\n\n")
    await reply.write(b"")
    await reply.end(b"data: 2\n\n")


def head_of(answer: bytes) -> list[str]:
    """The lines of an answer's head."""
    return answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")


async def test_a_whole_answer_says_whose_it_is_and_how_long(ask: Ask) -> None:
    """It ends with the connection only because the client asked for that."""
    answer = await ask(whole, GET_AND_CLOSE)
    line, *fields = head_of(answer)
    assert line == "HTTP/1.1 200 OK"
    assert [field for field in fields if not field.startswith("Date: ")] == [
        "Content-Type: application/json",
        "x-farebox-cost: 0.01",
        "x-request-id: req_1",
        "Server: farebox",
        "Content-Length: 2",
        "Connection: close",
    ]
    assert len(fields) == 7
    assert answer.endswith(b"\r\n\r\n{}")


async def test_a_connection_is_kept_for_the_next_request(ask: Ask) -> None:
    """A whole answer and a stream both leave it usable."""
    for script in (whole, stream):
        answers = await ask(script, GET + GET + GET_AND_CLOSE)
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert answers.count(b"Connection: close\r\n") == 1


async def test_a_stream_goes_in_chunks_and_an_empty_write_does_not_end_it(ask: Ask) -> None:
    answer = await ask(stream, GET_AND_CLOSE)
    assert "Transfer-Encoding: chunked" in head_of(answer)
    assert answer.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n")


async def test_a_client_of_http_1_0_gets_no_chunks_and_sees_the_end_of_a_stream(ask: Ask) -> None:
    """The connection ends although the client would keep it: nothing else shows where the body ends."""
    answer = await ask(stream, OLD_GET_AND_KEEP)
    head = head_of(answer)
    assert head[0] == "HTTP/1.0 200 OK"
    assert not [field for field in head if field.startswith(("Transfer-Encoding", "Connection"))]
    assert answer.endswith(b"\r\n\r\ndata: 1\n\ndata: 2\n\n")


async def test_a_client_of_http_1_0_may_keep_its_connection_after_a_whole_answer(ask: Ask) -> None:
    answers = await ask(whole, OLD_GET_AND_KEEP + b"GET / HTTP/1.0\r\n\r\n")
    assert answers.count(b"HTTP/1.0 200 OK\r\n") == 2
    assert answers.count(b"Connection: keep-alive\r\n") == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_may_have_no_body_has_none(
    ask: Ask, method: str, status: int, streamed: bool
) -> None:
    async def bodiless(reply: HttpReply) -> None:
        reply.head(status, JSON)
        if streamed:
            await reply.write(b"{")
        await reply.end(b"}")

    answer = await ask(bodiless, GET_AND_CLOSE.replace(b"GET", method.encode()))
    assert answer.endswith(b"\r\n\r\n")
    assert not [field for field in head_of(answer) if field.startswith(("Transfer-Enc", "Content-Length"))]


async def test_what_would_break_a_head_is_refused_while_another_answer_can_take_its_place(ask: Ask) -> None:
    """Neither a name nor a value can begin a field, an answer or a body of its own."""
    forbidden = ("\r\nx: y", "a\rb", "a\nb", "a\x00b")

    async def injected(reply: HttpReply) -> None:
        for text in forbidden:
            for field in (("x-a", text), (text, "a")):
                reply.head(200, [field])
                with pytest.raises(ValueError, match="header"):
                    await reply.end(b"{}")
                assert not reply.started
        reply.head(502, JSON)
        await reply.end(b"[]")

    answer = await ask(injected, GET_AND_CLOSE)
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert answer.endswith(b"\r\n\r\n[]")


async def test_the_framing_is_not_the_upstreams(ask: Ask) -> None:
    """Two lengths of one body would let two readers end it in different places."""

    async def misled(reply: HttpReply) -> None:
        reply.head(200, [*JSON, ("Content-Length", "1"), ("Transfer-Encoding", "chunked")])
        await reply.end(b"{}")

    async def misled_stream(reply: HttpReply) -> None:
        reply.head(200, [*JSON, ("Content-Length", "1")])
        await reply.write(b"{")
        await reply.end(b"}")

    answer = await ask(misled, GET_AND_CLOSE)
    assert b"Transfer-Encoding" not in answer
    assert answer.count(b"Content-Length: 2\r\n") == answer.count(b"Content-Length") == 1
    assert b"Content-Length" not in await ask(misled_stream, GET_AND_CLOSE)


async def test_a_large_answer_arrives_as_it_was_sent(ask: Ask) -> None:
    """In pieces, whole or streamed, behind one head."""
    body = bytes(range(256)) * 4_096

    async def large(reply: HttpReply) -> None:
        await reply.end(body)

    async def large_stream(reply: HttpReply) -> None:
        await reply.write(body)
        await reply.end(body)

    answer = await ask(large, GET_AND_CLOSE)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert rest == body
    assert unchunked((await ask(large_stream, GET_AND_CLOSE)).partition(b"\r\n\r\n")[2]) == body * 2


def unchunked(rest: bytes) -> bytes:
    """The body in a sequence of chunks, of which the last is empty and nothing follows it."""
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        if not length:
            assert rest == b""
            return body


async def test_a_stream_that_breaks_off_ends_with_an_error_event(ask: Ask) -> None:
    """Any other answer is cut instead: a client would take a clean end for the end of the answer."""
    refusal = Refusal("upstream_invalid", "It stopped.")

    def breaking(headers: list[tuple[str, str]]) -> Script:
        async def script(reply: HttpReply) -> None:
            reply.head(200, headers)
            await reply.write(b"data: 1\n\n")
            await reply.break_off(refusal)

        return script

    answer = await ask(breaking(EVENTS), GET_AND_CLOSE)
    assert unchunked(answer.partition(b"\r\n\r\n")[2]) == (
        b"data: 1\n\ndata: " + refusal.body("req_1") + b"\n\n"
    )
    try:
        cut = await ask(breaking(JSON), GET)
    except ConnectionResetError:
        cut = b""
    assert not cut.endswith(b"0\r\n\r\n")


async def test_a_cut_answer_that_only_its_connection_ends_is_reset(ask: Ask) -> None:
    """HTTP/1.0 has no chunks to leave out the last of, and its proxies take a farewell for the whole."""

    async def broken(reply: HttpReply) -> None:
        reply.head(200, JSON)
        await reply.write(b"{")
        await reply.break_off(Refusal("upstream_failed", "It stopped."))

    with pytest.raises(ConnectionResetError):
        await ask(broken, b"GET / HTTP/1.0\r\n\r\n")


async def test_a_large_answer_is_sent_with_a_turn_of_the_loop_after_each_piece(ask: Ask) -> None:
    """Also to a client that takes everything at once."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def large(reply: HttpReply) -> None:
        others = asyncio.ensure_future(turn())
        reply.head(200, JSON)
        await reply.end(bytes(32 * PIECE_BYTES))
        others.cancel()

    answer = await ask(large, GET_AND_CLOSE)
    assert len(answer.partition(b"\r\n\r\n")[2]) == 32 * PIECE_BYTES
    assert turns >= 31
