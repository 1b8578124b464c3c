"""The gateway: the cost of a client that never reads, and which clients get `100 Continue`."""

import asyncio
import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.edge.bodies import BodyReader, Bounds
from proxy.edge.body_memory import BodyMemory
from proxy.edge.gateway import expect_later
from proxy.edge.middleware import REQUEST_ID
from proxy.edge.reply import SENT_AND_CLOSED, SENT_AND_KEPT, HttpReply, RequestExchange


async def test_a_client_that_never_reads_is_cut_and_leaves_nothing_behind() -> None:
    """Its connection ends after the bound, and the error does not keep the frames that hold its answer."""
    errors: list[ConnectionResetError] = []
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "req_1"
        try:
            await HttpReply(RequestExchange(request), 0.1).end(b"x" * 12_000_000)
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


@pytest.mark.parametrize(("version", "interim"), [("1.0", b""), ("1.1", b"HTTP/1.1 100 Continue\r\n\r\n")])
async def test_who_knows_interim_answers_is_told_to_continue(version: str, interim: bytes) -> None:
    """A client of HTTP/1.0 would take it for the answer, so that its wish is passed over."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    async def handle(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "req_1"
        reply = HttpReply(RequestExchange(request), 5.0)
        asked.set()
        reader = BodyReader(request, Bounds(10, 5.0, 5.0), BodyMemory(now=loop.time))
        await reply.end(await reader.at_hand() or await reader.whole())
        return SENT_AND_KEPT if reply.keeps else SENT_AND_CLOSED

    app = web.Application()
    app.router.add_route("*", "/", handle, expect_handler=expect_later)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST / HTTP/{version}\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
        writer.write(head.encode() + b"Expect: 100-continue\r\n\r\n")
        async with asyncio.timeout(10):
            await asked.wait()
            writer.write(b"hi")
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(interim + f"HTTP/{version} 200 OK\r\n".encode())
    assert answer.endswith(b"\r\n\r\nhi")
