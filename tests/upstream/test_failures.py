"""The HTTP client against upstreams that do not answer, or not as they should."""

import asyncio

import pytest

from proxy.upstream.client import HttpUpstreams
from proxy.upstream.routes import Credential
from tests.upstream.calls import fetched, refused_by, to, upstream_request
from tests.upstream.scripted import (
    STREAM_HEAD,
    Connection,
    Script,
    http_answer,
    http_chunk,
    saying,
    scripted,
)


async def _stall(connection: Connection) -> None:
    await connection.request()
    await connection.gone()


async def _close(connection: Connection) -> None:
    await connection.request()
    connection.close()


async def _reset(connection: Connection) -> None:
    await connection.request()
    connection.reset()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (_stall, "upstream_timeout"),
        (_close, "upstream_failed"),
        (_reset, "upstream_failed"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "upstream_invalid"),
        (saying(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"), "upstream_invalid"),
        (saying(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n"), "upstream_invalid"),
        (saying(b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 200 + b"\r\n"), "upstream_invalid"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Le"), "upstream_failed"),
        (saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "upstream_invalid"),
        (saying(http_answer(b"x", "Content-Encoding: br")), "upstream_invalid"),
        (saying(http_answer(b"x", "Content-Encoding: gzip, gzip")), "upstream_invalid"),
        (saying(http_answer(b"x", "Content-Encoding: gzip")), "upstream_invalid"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"), "upstream_failed"),
        (saying(STREAM_HEAD + http_chunk(b"data: 1\n\n")), "upstream_failed"),
        (saying(STREAM_HEAD + b"zz\r\n"), "upstream_invalid"),
    ],
)
async def test_each_way_to_fail_has_its_code(client: HttpUpstreams, script: Script, code: str) -> None:
    """No answer, a broken one or one that cannot be read is a failure with a code and nothing else.

    The message names the upstream; neither its address nor the query nor a credential is in it.
    """
    async with scripted(script) as upstream:
        target = to(upstream, Credential("sk-up", query="key"), first_byte_seconds=0.2)
        failure = await refused_by(client, target, upstream_request(query="q=private"))
        port = upstream.base_url.rpartition(":")[2]
    assert failure.code == code
    assert not failure.untouched
    assert "'up'" in str(failure)
    for secret in ("sk-up", "private", "127.0.0.1", port):
        assert secret not in str(failure)
    assert failure.__context__ is None or failure.__suppress_context__, (
        "a logged traceback would tell the URL"
    )


async def test_an_upstream_that_cannot_be_connected_to_is_untouched(
    client: HttpUpstreams, unused_tcp_port: int
) -> None:
    """A connection that is refused, or a name that does not resolve, cannot have had any effect."""
    for base_url in (f"http://127.0.0.1:{unused_tcp_port}", "http://name.invalid"):
        failure = await refused_by(client, to(base_url))
        assert (failure.code, failure.untouched) == ("upstream_unreachable", True)
        assert str(unused_tcp_port) not in str(failure)


async def test_a_connection_that_takes_too_long_is_untouched(client: HttpUpstreams) -> None:
    """An address that swallows packets is given up after `connect_seconds`."""
    async with scripted(_stall) as upstream:
        # TLS to a server that never answers the greeting stalls while connecting, without a blackhole.
        target = to(upstream.base_url.replace("http:", "https:"), connect_seconds=0.1)
        failure = await refused_by(client, target)
    assert (failure.code, failure.untouched) == ("upstream_unreachable", True)


async def test_a_server_that_speaks_no_tls_is_unreachable(client: HttpUpstreams) -> None:
    """A failed handshake sends no request, so another target may be tried."""

    async def plain(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with scripted(plain) as upstream:
        failure = await refused_by(client, to(upstream.base_url.replace("http:", "https:")))
    assert (failure.code, failure.untouched) == ("upstream_unreachable", True)


async def test_an_upload_that_is_not_read_times_out(client: HttpUpstreams) -> None:
    """The wait for an answer is bounded from the start, not from the end of the upload."""

    async def deaf(connection: Connection) -> None:
        await asyncio.sleep(5)

    async with scripted(deaf) as upstream:
        target = to(upstream, first_byte_seconds=0.2)
        failure = await refused_by(client, target, upstream_request(b"x" * 30_000_000))
    assert failure.code == "upstream_timeout"


async def test_an_answer_before_the_end_of_the_upload_counts(client: HttpUpstreams) -> None:
    """A refusal that comes while the body is still on its way is the answer."""

    async def hasty(connection: Connection) -> None:
        await connection.send(http_answer(b"no", "Connection: close", status="413 Content Too Large"))
        await connection.gone()

    async with scripted(hasty) as upstream:
        assert await fetched(client, to(upstream), upstream_request(b"x" * 5_000_000)) == (413, b"no")
