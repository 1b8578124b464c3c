"""The client's end: what a client that never reads costs."""

import asyncio
import socket

from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.web.middleware import REQUEST_ID
from proxy.web.reply import HttpReply


async def test_a_client_that_never_reads_is_cut_and_leaves_nothing_behind() -> None:
    """Its connection ends after the bound, and the error does not keep the frames that hold its answer."""
    errors: list[ConnectionResetError] = []
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "req_1"
        try:
            await HttpReply(request, 0.1).end(b"x" * 12_000_000)
        except ConnectionResetError as error:
            errors.append(error)
        ended.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handle)
    loop = asyncio.get_running_loop()
    async with TestServer(app) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(10):
                await ended.wait()
                while server.handler is not None and server.handler.connections:
                    await asyncio.sleep(0)
    assert [str(error) for error in errors] == ["the client reads too slowly"]
    assert errors[0].__context__ is None
