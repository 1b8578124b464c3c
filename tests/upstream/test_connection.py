"""Connections between requests: which are kept, which are closed, and whose an answer is."""

import asyncio

import msgspec
import pytest

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.client import HttpUpstreams
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
