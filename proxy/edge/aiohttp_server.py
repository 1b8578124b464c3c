"""Every name of aiohttp's server that it does not document, so that a new aiohttp can break this module only.

`tests/edge/test_aiohttp_server.py` has a table of these names, and fails with the one that moved.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.http_writer import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.http_writer import _serialize_headers as serialized_head
from aiohttp.typedefs import Middleware

__all__ = [
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "Middleware",
    "RequestCallback",
    "ServerProtocol",
    "count_sent",
    "drain",
    "has_sent",
    "is_write_paused",
    "refuse_pure_python_parser",
    "send_interim",
    "serialized_head",
    "unsent_bytes",
    "wrap_callback",
]

RequestCallback = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What a server calls with each request."""


class ServerProtocol(web.RequestHandler):
    """One connection of a client. `on_fault` makes the response to what aiohttp's parser refused.

    It gets the status that aiohttp would answer with, and the exception.
    """

    __slots__ = ("_on_fault",)

    def __init__(
        self,
        server: web.Server,
        *,
        linger_seconds: float,
        keepalive_seconds: float,
        on_fault: Callable[[int, BaseException | None], web.Response],
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None turns it off, whatever the type says.
            lingering_time=linger_seconds,
            keepalive_timeout=keepalive_seconds,
            auto_decompress=False,
        )
        self._on_fault = on_fault

    @property
    def had_request(self) -> bool:
        """Whether the head of a request has come over this connection."""
        return self._request_count > 0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that could not be parsed or handled; it closes the connection.

        Raises ConnectionResetError after the first byte of another response.
        """
        del message
        if has_sent(request):
            raise ConnectionResetError("a response has begun already")
        response = self._on_fault(status, exc)
        response.force_close()
        return response


def wrap_callback(server: web.Server, wrap: Callable[[RequestCallback], RequestCallback]) -> None:
    """Put another callback around the one that a server calls with each request."""
    server.request_handler = wrap(server.request_handler)


def unsent_bytes(server: web.Server) -> int:
    """How many bytes a server has written that no client has taken yet."""
    transports = [connection.transport for connection in server.connections]
    return sum(transport.get_write_buffer_size() for transport in transports if transport)


def has_sent(request: web.BaseRequest) -> bool:
    """Whether the response to a request has begun, so that no other can take its place."""
    return request.writer.output_size > 0


def count_sent(request: web.BaseRequest, size: int) -> None:
    """Tell aiohttp of `size` bytes of a response that were written past it."""
    request.writer.output_size += size


async def send_interim(request: web.BaseRequest, head: bytes) -> None:
    """Send an interim response, which does not count as the beginning of the response."""
    await request.writer.write(head)
    request.writer.output_size = 0


def is_write_paused(request: web.BaseRequest) -> bool:
    """Whether the client takes bytes more slowly than they are written."""
    return request.protocol.writing_paused


async def drain(request: web.BaseRequest) -> None:
    """Wait until the client has taken most of what was written. Raises ConnectionResetError."""
    await request.writer.drain()


def refuse_pure_python_parser() -> None:
    """Raise RuntimeError without aiohttp's C parser: the Python one lets requests be smuggled."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp's C extension is missing, or off by AIOHTTP_NO_EXTENSIONS; its Python parser is not safe"
        )
