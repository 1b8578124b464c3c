"""Requests and connections of the HTTP client; every upstream is a real socket."""

import asyncio

import pytest

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.client import RESENDABLE_BYTES, HttpUpstreams
from proxy.upstream.routes import Credential
from tests.upstream.calls import fetched, refused_by, to, upstream_request
from tests.upstream.scripted import (
    OK,
    STREAM_HEAD,
    Connection,
    Script,
    answering,
    http_answer,
    http_chunk,
    saying,
    scripted,
)


async def test_a_request_goes_up_with_our_credential_and_nothing_of_aiohttps(client: HttpUpstreams) -> None:
    """The request is the client's: its body, path and query to the byte, and only theirs and our headers."""
    async with scripted(answering(OK)) as upstream:
        target = to(f"{upstream.base_url}/base", Credential("Bearer up"), headers=(("X-Static", "1"),))
        sent = upstream_request(
            b'{"a":1}',
            ("Authorization", "Bearer sk-fbx-theirs"),
            ("Accept-Encoding", "gzip, br"),
            ("Content-Type", "application/json; charset=utf-8"),
            path="/v1/a%2Fb/%7Ec",
            query="q=a%20b+c&q=%26",
        )
        assert await fetched(client, target, sent) == (200, b"{}")
        (request,) = upstream.requests
    assert request.line == "POST /base/v1/a%2Fb/%7Ec?q=a%20b+c&q=%26 HTTP/1.1"
    assert request.body == b'{"a":1}'
    assert dict(request.headers) == {
        "Host": upstream.base_url.removeprefix("http://"),
        "Content-Type": "application/json; charset=utf-8",
        "Accept-Encoding": "identity",
        "X-Static": "1",
        "Authorization": "Bearer up",
        "Content-Length": "7",
    }


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("", "k%20y=s%2F1"),
        ("a=1&k+y=theirs&b=2", "a=1&b=2&k%20y=s%2F1"),
        ("k%20y=theirs&%6B%20y&a=k+y", "a=k+y&k%20y=s%2F1"),
    ],
)
async def test_a_credential_in_the_query_replaces_the_clients(
    client: HttpUpstreams, query: str, sent: str
) -> None:
    """The field that holds our credential is taken out of the client's query, however it is encoded."""
    async with scripted(answering(OK)) as upstream:
        await fetched(client, to(upstream, Credential("s/1", query="k y")), upstream_request(query=query))
    assert upstream.requests[0].line == f"POST /v1/x?{sent} HTTP/1.1"
    assert not upstream.requests[0].values("Authorization")


@pytest.mark.parametrize(
    ("method", "body", "length"), [("GET", b"", []), ("POST", b"", ["0"]), ("POST", b"xyz", ["3"])]
)
async def test_the_length_of_a_body_is_told_anew(
    client: HttpUpstreams, method: str, body: bytes, length: list[str]
) -> None:
    """Content-Length is that of the body that is sent, whatever the client said of its own."""
    async with scripted(answering(OK)) as upstream:
        sent = upstream_request(
            body, ("Content-Length", "99"), ("Transfer-Encoding", "chunked"), method=method
        )
        await fetched(client, to(upstream), sent)
    assert upstream.requests[0].values("Content-Length") == length
    assert not upstream.requests[0].values("Transfer-Encoding")
    assert not upstream.requests[0].values("Content-Type")


async def test_a_long_body_goes_up_whole(client: HttpUpstreams) -> None:
    """Several megabytes arrive as they were sent."""
    body = bytes(range(256)) * 20_000
    async with scripted(answering(OK)) as upstream:
        assert await fetched(client, to(upstream), upstream_request(body)) == (200, b"{}")
    assert upstream.requests[0].body == body


async def test_cookies_are_not_kept(client: HttpUpstreams) -> None:
    """A cookie set for one client is not sent for another."""
    async with scripted(answering(http_answer(b"", "Set-Cookie: tenant=a"), OK)) as upstream:
        for _ in range(2):
            await fetched(client, to(upstream))
        assert upstream.connections == 1
    assert not upstream.requests[1].values("Cookie")


async def test_a_redirect_is_passed_on_and_not_followed(client: HttpUpstreams) -> None:
    """Only one request is sent, and the 3xx is passed on."""
    elsewhere = http_answer(b"gone", "Location: https://files.example/x", status="307 Temporary Redirect")
    async with scripted(answering(elsewhere, OK)) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        assert (answer.status, answer.headers) == (307, [("Location", "https://files.example/x")])
        answer.close()
    assert len(upstream.requests) == 1


async def test_proxies_in_the_environment_are_not_used(
    client: HttpUpstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys go where the configuration says, whatever HTTP_PROXY is."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with scripted(answering(OK)) as upstream:
        assert await fetched(client, to(upstream)) == (200, b"{}")


async def test_a_connection_is_kept_for_the_next_request(client: HttpUpstreams) -> None:
    """An answer that was read to its end leaves its connection to others, also after close."""
    async with scripted(answering(OK)) as upstream:
        for _ in range(3):
            assert await fetched(client, to(upstream)) == (200, b"{}")
        assert (upstream.connections, len(upstream.requests)) == (1, 3)


async def test_bytes_that_nobody_asked_for_are_no_answer(client: HttpUpstreams) -> None:
    """A kept connection on which something came in between is not used again."""

    async def script(connection: Connection) -> None:
        await connection.request()
        # The second answer is an answer to nothing; the next caller must not be given it.
        await connection.send(OK)
        await asyncio.sleep(0)
        await connection.send(http_answer(b"stale"))
        await connection.gone()

    async with scripted(script) as upstream:
        for _ in range(2):
            assert await fetched(client, to(upstream)) == (200, b"{}")
            await asyncio.sleep(0.05)
        assert upstream.connections == 2


def _dies_on_reuse(last_words: bytes = b"", *, reset: bool = False) -> Script:
    """The first connection answers once and dies at its second request; later ones answer."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.request()
        if connection.number > 1:
            await connection.send(OK)
            return
        await connection.send(last_words)
        (connection.reset if reset else connection.close)()

    return script


@pytest.mark.parametrize("reset", [True, False])
async def test_a_small_request_that_meets_a_dead_kept_connection_is_sent_again(
    client: HttpUpstreams, reset: bool
) -> None:
    """A keep-alive race is no failure: the request goes out once more, over a new connection."""
    async with scripted(_dies_on_reuse(reset=reset)) as upstream:
        await fetched(client, to(upstream))
        assert await fetched(client, to(upstream), upstream_request(b"again")) == (200, b"{}")
        assert upstream.connections == 2
    assert [request.body for request in upstream.requests] == [b"{}", b"again", b"again"]


@pytest.mark.parametrize("last_words", [b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_request_is_not_sent_again_once_an_answer_began(
    client: HttpUpstreams, last_words: bytes
) -> None:
    """After the first byte of an answer the request has had its effect."""
    async with scripted(_dies_on_reuse(last_words)) as upstream:
        await fetched(client, to(upstream))
        failure = await refused_by(client, to(upstream), upstream_request(b"once"))
    assert failure.code == "upstream_failed"
    assert [request.body for request in upstream.requests] == [b"{}", b"once"]


async def test_a_large_request_is_not_sent_again(client: HttpUpstreams) -> None:
    """Above `RESENDABLE_BYTES` a dead kept connection is a failure."""
    body = b"x" * (RESENDABLE_BYTES + 1)
    async with scripted(_dies_on_reuse()) as upstream:
        await fetched(client, to(upstream))
        failure = await refused_by(client, to(upstream), upstream_request(body))
        assert upstream.connections == 1
    assert failure.code == "upstream_failed"


async def test_a_request_that_fails_on_a_new_connection_is_not_sent_again(client: HttpUpstreams) -> None:
    """Only a kept connection can have died of age."""
    async with scripted(saying(b"")) as upstream:
        await refused_by(client, to(upstream))
        assert upstream.connections == 1


async def test_a_request_is_sent_again_only_once(client: HttpUpstreams) -> None:
    """A second failure is the upstream's."""

    async def script(connection: Connection) -> None:
        await connection.request()
        if connection.number == 1:
            await connection.send(OK)
            await connection.request()
        connection.close()

    async with scripted(script) as upstream:
        await fetched(client, to(upstream))
        assert (await refused_by(client, to(upstream))).code == "upstream_failed"
        assert len(upstream.requests) == 3


async def test_closing_an_unfinished_answer_stops_the_upstream_at_once(client: HttpUpstreams) -> None:
    """The upstream sees the end of the connection without waiting for its next write."""
    gone = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD + http_chunk(b"x"))
        await connection.gone()
        gone.set()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        assert await anext(answer.chunks()) == b"x"
        answer.close()
        answer.close()
        await asyncio.wait_for(gone.wait(), 5)
        with pytest.raises(UpstreamFailure):
            await anext(answer.chunks())


async def test_cancelling_a_request_stops_the_upstream_at_once(client: HttpUpstreams) -> None:
    """A client that leaves before the first byte leaves nothing running."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await connection.gone()
        gone.set()

    async with scripted(script) as upstream, asyncio.TaskGroup() as group:
        sending = group.create_task(client.send(to(upstream), upstream_request()))
        await asyncio.wait_for(asked.wait(), 5)
        sending.cancel()
        await asyncio.wait_for(gone.wait(), 5)


async def test_cancelling_a_read_leaves_the_answer_to_be_closed(client: HttpUpstreams) -> None:
    """CancelledError passes as it is, and close still stops the upstream."""
    gone = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(STREAM_HEAD)
        await connection.gone()
        gone.set()

    async with scripted(script) as upstream:
        answer = await client.send(to(upstream), upstream_request())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(answer.chunks()), 0.05)
        answer.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_half_closed_upstream_still_answers(client: HttpUpstreams) -> None:
    """An upstream that sends its answer and then a FIN has answered."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        connection.half_close()
        await connection.gone()

    async with scripted(script) as upstream:
        for _ in range(2):
            assert await fetched(client, to(upstream)) == (200, b"{}")
            await asyncio.sleep(0)


async def test_only_an_open_client_sends(client: HttpUpstreams) -> None:
    """Before open and after close there is nothing to send with; closing twice is harmless."""
    await client.close()
    await client.close()
    for closed in (client, HttpUpstreams()):
        with pytest.raises(RuntimeError, match="not open"):
            await closed.send(to("http://127.0.0.1:1"), upstream_request())
