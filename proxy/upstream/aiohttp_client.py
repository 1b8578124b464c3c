"""Every name of aiohttp's client that it does not document, so that a new aiohttp can break this module only.

`tests/upstream/test_aiohttp_client.py` has a table of these names, and fails with the one that moved.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientRequest,
    ClientTimeout,
    ConnectionTimeoutError,
    ServerDisconnectedError,
    StreamReader,
    TCPConnector,
)
from aiohttp.base_protocol import BaseProtocol
from aiohttp.connector import Connection as ConnectorLease
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpParser, HttpResponseParser, RawResponseMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

__all__ = [
    "EMPTY_PAYLOAD",
    "AnswerParser",
    "ClientProtocol",
    "ConnectorLease",
    "HttpProcessingError",
    "RawResponseMessage",
    "answer_parser",
    "connect",
    "connect_request",
    "count_received",
    "end_lease",
    "ends_whole",
    "has_leftover",
    "parsed",
    "take_over",
    "write_body",
]

STATUS_LINE_MAX_BYTES: Final = 8_190
HEADER_MAX_BYTES: Final = 16_384
HEADERS_MAX: Final = 128

_READ_BUFFER_BYTES: Final = 65_536
_PIECE_BYTES: Final = 65_536

AnswerParser = HttpParser[RawResponseMessage]


class ClientProtocol(BaseProtocol):
    """The base of a connection. aiohttp's reader pauses it, resumes it, and finds its parser in it.

    The public names are aliases of aiohttp's slots: properties would make every piece of a stream cost more.
    """

    if TYPE_CHECKING:
        loop: asyncio.AbstractEventLoop
        parser: AnswerParser | None
        reading_paused: bool
    else:
        loop = BaseProtocol._loop  # noqa: SLF001 - only this module may say it.
        parser = BaseProtocol._parser  # noqa: SLF001 - only this module may say it.
        reading_paused = BaseProtocol._reading_paused  # noqa: SLF001 - only this module may say it.

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp calls it so.
        """Go on after a pause. A reader calls this after each read, mostly without a pause before it."""
        if self.reading_paused:
            super().resume_reading(resume_parser)


def answer_parser(protocol: ClientProtocol, *, is_head: bool) -> AnswerParser:
    """A parser of one answer, which leaves content encodings alone. `is_head`: no body follows the head."""
    return HttpResponseParser(
        protocol,
        protocol.loop,
        _READ_BUFFER_BYTES,
        payload_exception=ClientPayloadError,
        response_with_body=not is_head,
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=STATUS_LINE_MAX_BYTES,
        max_field_size=HEADER_MAX_BYTES,
        max_headers=HEADERS_MAX,
    )


def parsed(parser: AnswerParser, data: bytes) -> Sequence[tuple[RawResponseMessage, StreamReader]]:
    """The heads that are complete with `data`, each with its body to come. Raises HttpProcessingError."""
    try:
        messages, _, _ = parser.feed_data(data)
    except HttpProcessingError:
        raise
    except Exception:  # noqa: BLE001 - whatever the parser cannot read is not HTTP.
        raise HttpProcessingError from None
    return messages


def ends_whole(parser: AnswerParser) -> bool:
    """Whether the body is whole if its connection ends now, as one without a length is."""
    try:
        parser.feed_eof()
    except Exception:  # noqa: BLE001 - whatever the parser misses, the body is not whole.
        return False
    return True


def has_leftover(parser: AnswerParser) -> bool:
    """Whether more bytes followed a whole answer."""
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - whatever the parser could not read, it was there.
        return True


def count_received(content: StreamReader) -> int:
    """How many bytes of a body have come so far, read or not."""
    return content.total_bytes


async def write_body(protocol: ClientProtocol, body: bytes) -> None:
    """Write a long body as fast as the upstream reads it. A connection that breaks ends the writing."""
    writer = StreamWriter(protocol, protocol.loop)
    with suppress(ClientError, OSError):
        view = memoryview(body)
        for start in range(0, len(view), _PIECE_BYTES):
            await writer.write(view[start : start + _PIECE_BYTES])
            # An upstream that takes everything at once would keep the loop from other calls.
            await asyncio.sleep(0)
        await writer.drain()


def connect_request(url: URL) -> ClientRequest:
    """The request that tells a connector which origin to connect to."""
    return ClientRequest("GET", url, loop=asyncio.get_running_loop())


async def connect(connector: TCPConnector, request: ClientRequest, seconds: float) -> ConnectorLease:
    """A new connection. Raises ClientConnectorError, or ConnectionTimeoutError after `seconds`."""
    try:
        return await connector.connect(request, [], ClientTimeout(total=None, connect=seconds))
    except TimeoutError:
        raise ConnectionTimeoutError from None


def take_over(lease: ConnectorLease) -> tuple[asyncio.Transport, bytes]:
    """The transport of a connection, and the bytes that have come over it already.

    The caller sets a protocol of its own on the transport. Raises ServerDisconnectedError.
    """
    protocol, transport = lease.protocol, lease.transport
    if protocol is None or transport is None:
        lease.close()
        raise ServerDisconnectedError
    early = _EarlyBytes()
    protocol.set_parser(early, None)
    return transport, early.data


def end_lease(lease: ConnectorLease, error: BaseException | None) -> None:
    """Tell the connector that the connection has ended; idempotent."""
    if lease.protocol is not None:
        lease.protocol.connection_lost(error)
        lease.close()


class _EarlyBytes:
    """Takes the place of a parser, and collects what an upstream sends before it is asked."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The end of the connection adds nothing."""
