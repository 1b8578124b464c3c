"""Bodies as they come from upstreams: at once, at their own speed, and bounded."""

import asyncio

import pytest

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.client import HttpUpstreams
from tests.upstream.calls import fetched, refused_by, to, upstream_request
from tests.upstream.scripted import (
    STREAM_HEAD,
    Connection,
    answering,
    http_answer,
    http_chunk,
    saying,
    scripted,
)


async def test_chunks_come_down_as_they_are_sent(client: HttpUpstreams) -> None:
    """Each event is handed on before the next one exists."""
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD)
        for number in range(3):
            await connection.send(http_chunk(b"data: %d\n\n" % number))
            await go.wait()
            go.clear()
        await connection.send(b"0\r\n\r\n")

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        seen = []
        async for chunk in answer.chunks():
            seen.append(chunk)
            go.set()
        answer.close()
    assert seen == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


async def test_a_silence_within_an_answer_is_a_timeout(client: HttpUpstreams) -> None:
    """A body may take as long as it likes, but no pause in it longer than `idle_seconds`."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD)
        for _ in range(6):
            await connection.send(http_chunk(b"x"))
            await asyncio.sleep(0.05)
        await connection.gone()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream, idle_seconds=0.15), upstream_request())
        chunks = answer.chunks()
        assert b"".join([await anext(chunks) for _ in range(6)]) == b"xxxxxx"
        with pytest.raises(UpstreamFailure) as caught:
            await anext(chunks)
        answer.close()
    assert caught.value.code == "upstream_timeout"


async def test_a_slow_reader_is_not_a_silent_upstream(client: HttpUpstreams) -> None:
    """Time that passes while no reader waits for the next chunk is not counted."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + http_chunk(b"one"))
        await asyncio.sleep(0.02)
        await connection.send(http_chunk(b"two"))
        await connection.request()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream, idle_seconds=0.1), upstream_request())
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        waiting = await anext(chunks)
        await asyncio.sleep(0.25)
        assert waiting == b"two"
        with pytest.raises(UpstreamFailure) as caught:
            await asyncio.wait_for(anext(chunks), 5)
        answer.close()
    assert caught.value.code == "upstream_timeout"


async def test_a_fast_upstream_waits_for_a_slow_reader(client: HttpUpstreams) -> None:
    """Little of a long body is kept in memory: the upstream is held back until a reader takes it."""
    sent_bytes = 0

    async def script(connection: Connection) -> None:
        nonlocal sent_bytes
        await connection.request()
        await connection.send(STREAM_HEAD)
        while True:
            await connection.send(http_chunk(b"x" * 65_536))
            sent_bytes += 65_536

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        before = -1
        while before != sent_bytes:
            before = sent_bytes
            await asyncio.sleep(0.1)
        answer.close()
    assert sent_bytes < 30_000_000, "sockets buffer some megabytes, the process must not"


@pytest.mark.parametrize("when", ["declared", "counted"])
async def test_an_answer_has_a_largest_size(when: str) -> None:
    """More than `max_reply_bytes` is refused at once if the head has the length, else when it has come."""
    body = b"x" * 2_000
    plain = http_answer(body)
    chunked = STREAM_HEAD.replace(b"event-stream", b"plain") + http_chunk(body) + b"0\r\n\r\n"
    small = HttpUpstreams(max_reply_bytes=1_999)
    large = HttpUpstreams(max_reply_bytes=2_000)
    await small.open()
    await large.open()
    async with scripted(answering(plain if when == "declared" else chunked)) as upstream:
        assert (await refused_by(small, to(upstream))).code == "upstream_invalid"
        assert await fetched(large, to(upstream)) == (200, body)
        await small.close()
        await large.close()


async def test_a_stream_may_be_of_any_size() -> None:
    """A stream is not held in memory, so `max_reply_bytes` is not about it."""
    small = HttpUpstreams(max_reply_bytes=1_999)
    await small.open()
    stream = STREAM_HEAD + http_chunk(b"x" * 2_000) + b"0\r\n\r\n"
    async with scripted(answering(stream)) as upstream:
        assert await fetched(small, to(upstream)) == (200, b"x" * 2_000)
        await small.close()


async def test_an_error_is_no_stream() -> None:
    """It is handed on whole, so that it is bounded whatever it says it is."""
    small = HttpUpstreams(max_reply_bytes=1_999)
    await small.open()
    error = STREAM_HEAD.replace(b"200 OK", b"400 Bad Request") + http_chunk(b"x" * 2_000)
    async with scripted(answering(error)) as upstream:
        assert (await refused_by(small, to(upstream))).code == "upstream_invalid"
        await small.close()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_ends_at_once(client: HttpUpstreams, status: str) -> None:
    """204 and 304 have no body, whatever their fields say."""
    head = f"HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Length: 99999999999\r\n\r\n".encode()
    async with scripted(answering(head)) as upstream:
        assert await fetched(client, to(upstream)) == (int(status[:3]), b"")


async def test_the_answer_to_a_head_request_has_no_body(client: HttpUpstreams) -> None:
    """The length such an answer tells is that of another answer's body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    async with scripted(answering(head)) as upstream:
        assert await fetched(client, to(upstream), upstream_request(b"", method="HEAD")) == (200, b"")


async def test_a_body_without_length_ends_with_the_connection(client: HttpUpstreams) -> None:
    """HTTP/1.0 answers end when the upstream closes."""
    async with scripted(saying(b"HTTP/1.0 200 OK\r\n\r\nto the end")) as upstream:
        assert await fetched(client, to(upstream)) == (200, b"to the end")


async def test_a_reset_is_not_the_end_of_a_body_without_length(client: HttpUpstreams) -> None:
    """A farewell is its only end: what a broken connection leaves is a part of an answer."""
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        await arrived.wait()
        connection.reset()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        chunks = answer.chunks()
        assert await anext(chunks) == b"part"
        arrived.set()
        with pytest.raises(UpstreamFailure) as caught:
            await anext(chunks)
    assert caught.value.code == "upstream_failed"
