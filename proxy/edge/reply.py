"""The answer of a call, written straight to the client's connection, the head together with the first bytes.

aiohttp's own responses take several times as long for a head or a chunk, and send the head by itself.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from proxy.edge.aiohttp_server import (
    HttpVersion,
    HttpVersion10,
    HttpVersion11,
    count_sent,
    drain,
    is_write_paused,
    serialized_head,
    when_lost,
)
from proxy.edge.middleware import REQUEST_ID, name_ourselves, raw_path
from proxy.endpoints.dialects import dialect_of
from proxy.errors import Refusal

PIECE_BYTES: Final = 65_536
"""How much is sent at once. The bound on a slow client is for each piece of a large answer."""
INLINE_BYTES: Final = 32_768
"""How much a connection may buffer, beside a head, before the client is checked for keeping up."""
BODILESS_STATUSES: Final = frozenset({204, 304})
LAST_CHUNK: Final = b"0\r\n\r\n"
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` by which closing a connection resets it."""
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class EndedResponse(web.StreamResponse):
    """An answer that has been sent. aiohttp learns from it whether to keep the connection."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps = keep_alive

    @property
    def prepared(self) -> bool:
        """Always: its head has been sent."""
        return True

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._keeps

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is left to send."""
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""
        del data


SENT_AND_KEPT: Final = EndedResponse(keep_alive=True)
SENT_AND_CLOSED: Final = EndedResponse(keep_alive=False)


class Exchange(Protocol):
    """A request whose answer is due, and the connection that it came over.

    `path` is raw, and `keeps` whether the connection may carry another request.
    """

    id: str
    method: str
    path: str
    version: HttpVersion
    keeps: bool

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport of the connection; None when the client is gone."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether the client takes bytes more slowly than they are written."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written. Raises ConnectionResetError."""
        ...

    def sent(self, size: int) -> None:
        """So much of the answer was written: no other can take its place any more."""
        ...

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        """Ask this when the client has left: whether the call goes on; else its task is cancelled."""
        ...


class RequestExchange:
    """A request that aiohttp has read. Satisfies `Exchange`."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.id: str = request[REQUEST_ID]
        self.method = request.method
        self.path = raw_path(request)
        self.version = request.version
        self.keeps = request.keep_alive

    @property
    def transport(self) -> asyncio.Transport | None:
        """See `Exchange.transport`."""
        return self._request.transport

    @property
    def is_slow(self) -> bool:
        """See `Exchange.is_slow`."""
        return is_write_paused(self._request)

    async def drain(self) -> None:
        """See `Exchange.drain`."""
        await drain(self._request)

    def sent(self, size: int) -> None:
        """See `Exchange.sent`. This tells aiohttp and the middleware."""
        count_sent(self._request, size)

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        """See `Exchange.on_left`."""
        when_lost(self._request, goes_on)


class HttpReply:
    """The answer to a request. A `proxy.call.relay.ClientReply`."""

    started = False
    """Whether the answer has begun."""
    _status = 200
    _bodiless = False
    _chunked = False
    _unframed = False
    _head = b""

    def __init__(self, exchange: Exchange, write_seconds: float) -> None:
        self._exchange = exchange
        self._write_seconds = write_seconds
        self._dialect = dialect_of(exchange.path)
        self._headers: CIMultiDict[str] = CIMultiDict()
        self.keeps = exchange.keeps
        """Whether the connection may carry another request once the answer has ended."""

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        """Ask this when the client has left: whether the call goes on; else its task is cancelled."""
        self._exchange.on_left(goes_on)

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Set status and headers. Headers that frame a body are ignored: this class frames it."""
        self._status = status
        self._headers = CIMultiDict(headers)

    def add_headers(self, headers: dict[str, str]) -> None:
        """Add headers of Farebox."""
        self._headers.update(headers)

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting for a slow client up to the bound. Raises ConnectionResetError."""
        if not self.started:
            self._begin(None)
        if not self._sent_at_once(data):
            await self._send_in_pieces(data)

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes. A reply that has not begun is sent whole, with its length.

        The call sends them itself, and does not return before, so that a drain waits for them.
        """
        if not self.started:
            self._begin(len(data))
        if not self._sent_at_once(data, is_last=True):
            await self._send_in_pieces(data, is_last=True)

    async def break_off(self, refusal: Refusal) -> None:
        """End an event stream with an error event; cut any other answer, so that its length shows it."""
        kind = self._headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0]
        if self.started and kind.strip().lower() == "text/event-stream":
            await self.end(self._dialect.error_event(refusal, self._exchange.id))
        else:
            self._cut()

    def _begin(self, length: int | None) -> None:
        """Make the head. `length` is the body's, if it is known.

        Raises ValueError, before anything is sent, for a header that would break the head.
        """
        exchange, headers, status = self._exchange, self._headers, self._status
        version = exchange.version
        name_ourselves(headers, exchange.id, self._dialect)
        self._bodiless = exchange.method == hdrs.METH_HEAD or status in BODILESS_STATUSES
        if not self._bodiless:
            self._frame(version, length)
        if hdrs.DATE not in headers:
            headers[hdrs.DATE] = _date(int(time.time()))
        if self.keeps and version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        elif not self.keeps and version >= HttpVersion11:
            headers[hdrs.CONNECTION] = "close"
        self._head = serialized_head(_status_line(version, status), headers)
        self.started = True
        exchange.sent(len(self._head))

    def _frame(self, version: HttpVersion, length: int | None) -> None:
        headers = self._headers
        headers.pop(hdrs.TRANSFER_ENCODING, None)
        headers.pop(hdrs.CONTENT_LENGTH, None)
        if length is not None:
            headers[hdrs.CONTENT_LENGTH] = str(length)
        elif version >= HttpVersion11:
            self._chunked = True
            headers[hdrs.TRANSFER_ENCODING] = "chunked"
        else:
            # Such a body ends with its connection.
            self._unframed = True
            self.keeps = False
        if length != 0:
            headers.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")

    def _sent_at_once(self, data: bytes, *, is_last: bool = False) -> bool:
        """Send bytes if the buffer has room for them; False if it has not. Raises ConnectionResetError."""
        transport = self._transport()
        if transport.get_write_buffer_size() + len(data) > INLINE_BYTES:
            return False
        transport.write(self._framed(data, is_last=is_last))
        return True

    async def _send_in_pieces(self, data: bytes, *, is_last: bool = False) -> None:
        for start in range(0, len(data) or 1, PIECE_BYTES):
            end = start + PIECE_BYTES
            piece = self._framed(data[start:end], is_last=is_last and end >= len(data))
            self._transport().write(piece)
            if self._exchange.is_slow:
                await self._drain()
            elif end < len(data):
                # A client that takes everything at once would keep the loop from other calls.
                await asyncio.sleep(0)

    def _framed(self, data: bytes, *, is_last: bool) -> bytes:
        """Bytes of the body as they are sent, after the head if it has not been sent."""
        if self._bodiless:
            data = b""
        elif self._chunked:
            # A client takes an empty chunk for the last one.
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if is_last:
                data += LAST_CHUNK
        if self._head:
            data = self._head + data
            self._head = b""
        return data

    def _transport(self) -> asyncio.Transport:
        """The transport to write to. Raises ConnectionResetError."""
        transport = self._exchange.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        return transport

    async def _drain(self) -> None:
        """Wait for a slow client up to the bound. Raises ConnectionResetError."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._exchange.drain()
        except TimeoutError:
            pass
        else:
            return
        # Raised out here, the error does not keep the frames of the other, which hold the answer.
        self._cut()
        raise ConnectionResetError("the client reads too slowly")

    def _cut(self) -> None:
        """Abort the connection with all that is buffered: closing would wait until the client reads that."""
        self.keeps = False
        transport = self._exchange.transport
        if transport is None:
            return
        if self._unframed:
            # A clean end would look like the end of a whole answer here, so it must be a reset.
            client = transport.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        transport.abort()


def response_bytes(response: web.Response, *, keeps: bool) -> bytes:
    """A response of ours as it is sent over a connection of HTTP/1.1."""
    body = response.body or b""
    assert isinstance(body, bytes)
    head = response.headers.copy()
    head[hdrs.CONTENT_LENGTH] = str(len(body))
    head[hdrs.DATE] = _date(int(time.time()))
    if not keeps:
        head[hdrs.CONNECTION] = "close"
    return serialized_head(_status_line(HttpVersion11, response.status), head) + body


@lru_cache(maxsize=256)
def _status_line(version: HttpVersion, status: int) -> str:
    return f"HTTP/{version.major}.{version.minor} {status} {_PHRASES.get(status, '')}"


# Most answers have the upstream's date. The others of one second share one text.
@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
