"""What Farebox takes for granted of aiohttp's client although no documentation promises it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import StreamReader, TCPConnector
from yarl import URL

from proxy.upstream.aiohttp_client import (
    EMPTY_PAYLOAD,
    AnswerParser,
    ClientProtocol,
    HttpProcessingError,
    RawResponseMessage,
    answer_parser,
    connect,
    connect_request,
    count_received,
    end_lease,
    ends_whole,
    has_leftover,
    parsed,
    take_over,
    write_body,
)
from tests.aiohttp_names import CLIENT_NAMES, fault_of
from tests.upstream.scripted import Connection, scripted

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize("entry", CLIENT_NAMES)
def test_aiohttp_has_each_name_that_is_used(entry: str) -> None:
    """A name, a member or a parameter that a new aiohttp moved is the one that fails here."""
    assert fault_of(entry) is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("aiohttp.gone:Anything", "aiohttp.gone:Anything is gone"),
        ("aiohttp:StreamReader.gone", "aiohttp:StreamReader.gone is gone"),
        ("aiohttp:ClientRequest(method, gone)", "aiohttp:ClientRequest takes no gone"),
    ],
)
def test_what_aiohttp_lacks_is_named(entry: str, said: str) -> None:
    """A module, a member, or a parameter."""
    assert (fault_of(entry) or "").startswith(said)


class Transport(asyncio.Transport):
    """A connection that keeps what is written, and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@pytest.fixture
async def protocol() -> ClientProtocol:
    protocol = ClientProtocol(asyncio.get_running_loop())
    protocol.connection_made(Transport())
    return protocol


@pytest.fixture
async def parser(protocol: ClientProtocol) -> AnswerParser:
    protocol.parser = answer_parser(protocol, is_head=False)
    return protocol.parser


def begun(parser: AnswerParser, data: bytes) -> tuple[RawResponseMessage, StreamReader]:
    [message] = parsed(parser, data)
    return message


async def test_a_head_is_parsed_before_its_body_comes(parser: AnswerParser) -> None:
    """A message and its body to be; the body counts all its bytes, read or not, and ends with its length."""
    assert not parsed(parser, HEAD[:20])
    message, content = begun(parser, HEAD[20:] + b"ab")
    assert (message.code, message.headers["content-length"], message.should_close) == (200, "4", False)
    assert count_received(content) == 2
    assert content.read_nowait() == b"ab"
    assert count_received(content) == 2
    assert not content.is_eof()
    assert not parsed(parser, b"cd")
    assert count_received(content) == 4
    assert content.is_eof()
    assert not has_leftover(parser)


@pytest.mark.parametrize("leftover", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_what_follows_a_whole_answer_is_noticed(parser: AnswerParser, leftover: bytes) -> None:
    """The beginning of another answer, in the same piece as the end of this one."""
    _, content = begun(parser, HEAD + b"abcd" + leftover)
    assert content.is_eof()
    assert has_leftover(parser)


async def test_a_body_without_a_length_ends_with_its_connection(parser: AnswerParser) -> None:
    """One with a length that is not reached does not."""
    _, content = begun(parser, b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not content.is_eof()
    assert ends_whole(parser)
    assert content.is_eof()


async def test_a_body_that_is_cut_is_not_whole(parser: AnswerParser) -> None:
    """Its length says how much is missing."""
    begun(parser, HEAD + b"ab")
    assert not ends_whole(parser)


async def test_what_is_not_http_is_one_error(parser: AnswerParser) -> None:
    """Whatever the parser raises is HttpProcessingError."""
    with pytest.raises(HttpProcessingError):
        parsed(parser, b"SSH-2.0-OpenSSH_9.2\r\n")


async def test_a_content_encoding_is_left_alone(parser: AnswerParser) -> None:
    """The body is undone elsewhere, in bounded pieces."""
    _, content = begun(parser, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab")
    assert content.read_nowait() == b"ab"


async def test_the_answer_to_head_has_no_body(protocol: ClientProtocol) -> None:
    """Its length is that of a body that does not come."""
    protocol.parser = answer_parser(protocol, is_head=True)
    _, content = begun(protocol.parser, HEAD)
    assert content.is_eof()


async def test_a_body_that_nobody_reads_pauses_the_connection(protocol: ClientProtocol) -> None:
    """The reader pauses the protocol's transport, and reading it resumes that, through the public names."""
    protocol.parser = answer_parser(protocol, is_head=False)
    transport = protocol.transport
    assert isinstance(transport, Transport)
    size = 4_000_000
    _, content = begun(
        protocol.parser, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * (size - 1)
    )
    assert (protocol.reading_paused, transport.is_paused) == (True, True)
    content.read_nowait()
    assert (protocol.reading_paused, transport.is_paused) == (False, False)


async def test_a_long_body_is_written_whole(protocol: ClientProtocol) -> None:
    """In pieces, in order."""
    transport = protocol.transport
    assert isinstance(transport, Transport)
    body = bytes(range(256)) * 1_000
    await write_body(protocol, body)
    assert transport.written == body


async def test_a_long_body_is_written_with_a_turn_of_the_loop_after_each_piece(
    protocol: ClientProtocol,
) -> None:
    """Also to an upstream that takes everything at once."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.ensure_future(turn())
    await write_body(protocol, bytes(64 * 65_536))
    others.cancel()
    assert turns >= 64


def test_the_empty_body_has_ended() -> None:
    """It stands for the body of an answer that has none."""
    assert EMPTY_PAYLOAD.is_eof()
    assert count_received(EMPTY_PAYLOAD) == 0


@pytest.fixture
async def connector() -> AsyncIterator[TCPConnector]:
    connector = TCPConnector(limit=0, force_close=True)
    yield connector
    await connector.close()


async def test_a_connection_is_taken_over_with_what_has_come(connector: TCPConnector) -> None:
    """What the upstream sends before it is asked is handed over, and the connector forgets an ended one."""
    sent = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.send(b"early")
        sent.set()
        await connection.gone()

    async with scripted(script) as upstream:
        lease = await connect(connector, connect_request(URL(upstream.base_url)), 5.0)
        await sent.wait()
        for _ in range(3):  # The bytes are here, and the loop still has to read them.
            await asyncio.sleep(0)
        transport, early = take_over(lease)
        assert early == b"early"
        transport.abort()
        end_lease(lease, None)
        assert lease.protocol is None
        end_lease(lease, None)
