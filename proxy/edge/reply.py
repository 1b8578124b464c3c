"""The client's end of a call: its answer, written straight to the connection, the head with the first bytes.

aiohttp's own responses take several times as long to make a head and to frame a chunk, and send them apart.
"""

import asyncio
import socket
import struct
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

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
)
from proxy.edge.middleware import REQUEST_ID, name_ourselves
from proxy.errors import Refusal

PIECE_BYTES: Final = 65_536
"""What is sent at once: the bound on a slow client is for each piece, not for all of a large answer."""
INLINE_BYTES: Final = 32_768
"""What a connection may buffer, beside a head, without being asked whether its client keeps up."""
BODILESS_STATUSES: Final = frozenset({204, 304})
LAST_CHUNK: Final = b"0\r\n\r\n"
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` by which a connection ends without a farewell."""
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class EndedResponse(web.StreamResponse):
    """An answer that has left: what aiohttp is told so that it keeps the connection, or closes it."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps = keep_alive

    @property
    def prepared(self) -> bool:
        """Always: its head has left."""
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


class HttpReply:
    """`relay.Reply` on the connection of an aiohttp request, whose handler returns `sent` in the end."""

    def __init__(self, request: web.Request, write_seconds: float) -> None:
        self.started = False
        """Whether anything was sent."""
        self._request = request
        self._write_seconds = write_seconds
        self._status = 200
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._keeps = request.keep_alive
        self._bodiless = False
        self._chunked = False
        self._unframed = False
        self._head = b""

    @property
    def sent(self) -> web.StreamResponse:
        """What to tell aiohttp of a reply that has ended."""
        return SENT_AND_KEPT if self._keeps else SENT_AND_CLOSED

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Set status and headers. How the body is framed is decided here, and not by them."""
        self._status = status
        self._headers = CIMultiDict(headers)

    def add_headers(self, headers: dict[str, str]) -> None:
        """Add headers of our own."""
        self._headers.update(headers)

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting for a slow client up to the bound. Raises ConnectionResetError."""
        if not self.started:
            self._begin(None)
        if not self._sent_at_once(data):
            await self._send_in_pieces(data)

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes; a reply that has not begun goes out whole, with its length.

        They are sent here and not by whoever handles the request, so that a drain waits for them.
        """
        if not self.started:
            self._begin(len(data))
        if not self._sent_at_once(data, is_last=True):
            await self._send_in_pieces(data, is_last=True)

    async def break_off(self, refusal: Refusal) -> None:
        """An SSE error event on event streams; anything else is cut, so that its length shows it."""
        kind = self._headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0]
        if self.started and kind.strip().lower() == "text/event-stream":
            await self.end(b"data: " + refusal.body(self._request[REQUEST_ID]) + b"\n\n")
        else:
            self._cut()

    def _begin(self, length: int | None) -> None:
        """Make the head. `length` is that of the body if it is known.

        Raises ValueError for a header that would break the head; nothing has been sent then.
        """
        request, headers, status = self._request, self._headers, self._status
        version = request.version
        name_ourselves(headers, request[REQUEST_ID])
        self._bodiless = request.method == hdrs.METH_HEAD or status in BODILESS_STATUSES
        if not self._bodiless:
            self._frame(version, length)
        if hdrs.DATE not in headers:
            headers[hdrs.DATE] = _date(int(time.time()))
        if self._keeps and version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        elif not self._keeps and version >= HttpVersion11:
            headers[hdrs.CONNECTION] = "close"
        self._head = serialized_head(_status_line(version, status), headers)
        self.started = True
        # By this aiohttp and the edge know that no other answer can take the place of this one.
        count_sent(request, len(self._head))

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
            # The end of such a body is the end of its connection.
            self._unframed = True
            self._keeps = False
        if length != 0:
            headers.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")

    def _sent_at_once(self, data: bytes, *, is_last: bool = False) -> bool:
        """Send bytes if there is room for them, and say whether there was. Raises ConnectionResetError."""
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
            if is_write_paused(self._request):
                await self._drain()

    def _framed(self, data: bytes, *, is_last: bool) -> bytes:
        """Bytes of the body as they go on the wire, after the head if that has not left yet."""
        if self._bodiless:
            data = b""
        elif self._chunked:
            # An empty chunk would be taken for the last one.
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if is_last:
                data += LAST_CHUNK
        if self._head:
            data = self._head + data
            self._head = b""
        return data

    def _transport(self) -> asyncio.Transport:
        """Where to write. Raises ConnectionResetError."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        return transport

    async def _drain(self) -> None:
        """Wait for a slow client up to the bound. Raises ConnectionResetError."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await drain(self._request)
        except TimeoutError:
            pass
        else:
            return
        # The error is raised out here so that it does not keep the other's frames, and the answer with them.
        self._cut()
        raise ConnectionResetError("the client reads too slowly")

    def _cut(self) -> None:
        """End the connection. What is buffered goes with it; closing would wait for that to be read."""
        self._keeps = False
        transport = self._request.transport
        if transport is None:
            return
        if self._unframed:
            # A farewell would be the end of a whole answer here, so that it must be a reset.
            client = transport.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        transport.abort()


@lru_cache(maxsize=256)
def _status_line(version: HttpVersion, status: int) -> str:
    return f"HTTP/{version.major}.{version.minor} {status} {_PHRASES.get(status, '')}"


# Most answers bring the upstream's date; to those that do not, a second is the same for all of them.
@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
