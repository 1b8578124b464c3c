"""Upstreams of raw sockets on loopback: a script says what happens on each connection, byte by byte."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def http_answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"])
    return head.encode("latin-1") + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Request:
    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for field_name, value in self.headers if field_name.lower() == name.lower()]


class Connection:
    """One accepted connection; `number` counts from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer

    async def request(self) -> Request:
        """The next request. Raises IncompleteReadError or ConnectionError when there is none."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = tuple((name, value.strip()) for name, _, value in (text.partition(":") for text in rest))
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return Request(line, headers, body)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the other side is gone, throwing away what it still sends."""
        try:
            while await self._reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def half_close(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """End the connection with a RST instead of a FIN."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


@dataclass
class Scripted:
    """A running upstream and what it has seen."""

    base_url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


def answering(*answers: bytes) -> Script:
    """Answer the requests of each connection in turn, the last answer for all that follow."""

    async def script(connection: Connection) -> None:
        for turn in range(1_000):
            await connection.request()
            await connection.send(answers[min(turn, len(answers) - 1)])

    return script


def saying(data: bytes) -> Script:
    """Answer the first request of each connection with these bytes, and close."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)
        connection.close()

    return script


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """An upstream that runs `script` on each connection; every one of them has ended on return."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        upstream.connections += 1
        connection = Connection(upstream.connections, reader, writer)
        read = connection.request

        async def noted() -> Request:
            upstream.requests.append(await read())
            return upstream.requests[-1]

        connection.request = noted  # type: ignore[method-assign]
        try:
            await script(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Scripted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield upstream
    finally:
        server.close()
        for task in set(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
