"""One request over one connection, and the answer to it once its head has arrived.

This stands on aiohttp's connections and parser and leaves its session out. What the session adds (redirects,
cookies, authentication, tracing, a task for every body) must not happen here, and takes more time than all
the rest of a request.
"""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import ClientConnectionError, ClientError, StreamReader
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from proxy.tasks import Tasks

STATUS_LINE_MAX_BYTES: Final = 8_190
HEADER_MAX_BYTES: Final = 16_384
HEADERS_MAX: Final = 128

_READ_BUFFER_BYTES: Final = 65_536
_INLINE_BYTES: Final = 32_768
"""Bodies up to this size fit in the transport's own buffer, so that writing them never waits."""
_PIECE_BYTES: Final = 65_536
_SWITCHING_PROTOCOLS: Final = 101


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it is written. `line` is the request line; the headers tell the body's length."""

    line: str
    headers: CIMultiDict[str]
    body: bytes
    is_head: bool


class Exchange:
    """An answer whose head has arrived. The connection is kept for others when the body has come whole."""

    def __init__(
        self,
        connection: Connection,
        message: RawResponseMessage,
        content: StreamReader,
        upload: "asyncio.Task[None] | None",
    ) -> None:
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self._connection = connection
        self._upload = upload
        content.on_eof(self._ended)

    def stop(self) -> None:
        """Break the connection off at once, unless the body has come whole; idempotent, never blocks."""
        if self._connection.protocol is not None:
            self.content.set_exception(ClientConnectionError("stopped"))
            break_off(self._connection)

    def _ended(self) -> None:
        if self._upload is None or self._upload.done():
            self._connection.release()
        else:
            # What is left of the request would be read as the beginning of the next one.
            break_off(self._connection)


async def exchange(
    connection: Connection, outgoing: Outgoing, *, first_byte_seconds: float, tasks: Tasks
) -> Exchange:
    """Send a request and wait for the head of its answer. A connection that fails is broken off.

    Raises TimeoutError after `first_byte_seconds`, HttpProcessingError for an answer that is not HTTP, and
    ClientError or OSError when the connection breaks.
    """
    protocol = connection.protocol
    assert protocol is not None, "a connection is used once between connect and release"
    protocol.set_response_params(
        skip_payload=outgoing.is_head,
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=_READ_BUFFER_BYTES,
        max_line_size=STATUS_LINE_MAX_BYTES,
        max_field_size=HEADER_MAX_BYTES,
        max_headers=HEADERS_MAX,
    )
    loop = asyncio.get_running_loop()
    timer = loop.call_later(first_byte_seconds, protocol.set_exception, TimeoutError())
    try:
        writer = StreamWriter(protocol, loop)
        await writer.write_headers(outgoing.line, outgoing.headers)
        upload = None
        if len(outgoing.body) <= _INLINE_BYTES:
            await writer.write_eof(outgoing.body)
        else:
            upload = tasks.spawn(_write(writer, outgoing.body), name="upload")
        message, content = await protocol.read()
        while message.code < 200 and message.code != _SWITCHING_PROTOCOLS:
            message, content = await protocol.read()
    except BaseException:
        break_off(connection)
        raise
    finally:
        timer.cancel()
    return Exchange(connection, message, content, upload)


def break_off(connection: Connection) -> None:
    """Close a connection without waiting for what is unsent, or for a farewell of the other side."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


async def _write(writer: StreamWriter, body: bytes) -> None:
    """Write a long body as fast as it is read, beside the wait for the answer, which may come early.

    A connection that breaks ends it; whoever waits for the answer is told why.
    """
    with suppress(ClientError, OSError):
        view = memoryview(body)
        for start in range(0, len(view), _PIECE_BYTES):
            await writer.write(view[start : start + _PIECE_BYTES])
        await writer.write_eof()
