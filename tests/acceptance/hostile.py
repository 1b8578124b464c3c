"""Clients that cost a server more than they pay for: raw sockets that stall, never read, or flood."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import psutil

from tests.acceptance.harness import WAIT_SECONDS, Server

CHAT: Final = "/v1/chat/completions"
MB: Final = 1_000_000


def head(secret: str, length: int | None, *, path: str = CHAT, more: str = "") -> bytes:
    """The head of a call with a body of so many bytes; None sends it in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    bearer = f"Authorization: Bearer {secret}\r\n" if secret else ""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{bearer}{framing}\r\n{more}\r\n".encode()


def large_body(size: int) -> bytes:
    """A chat of about so many bytes, most of them one picture."""
    start = (
        b'{"model": "f-whole", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url":'
    )
    start += b' {"url": "data:image/png;base64,'
    return start + b"A" * size + b'"}}]}]}'


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A connection to a server."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as client:
        yield client


@contextlib.contextmanager
def crowd(server: Server, size: int, *, receives_bytes: int | None = None) -> Iterator[list[socket.socket]]:
    """So many connections; with `receives_bytes` their buffers for answers are as small."""
    clients = []
    try:
        for _ in range(size):
            client = socket.socket()
            if receives_bytes is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
            client.settimeout(WAIT_SECONDS)
            client.connect(("127.0.0.1", server.port))
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


def status_of(client: socket.socket) -> int:
    """The status of the next answer, of which only the beginning is read. 0 when the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while len(received) < 12 and (piece := client.recv(12 - len(received))):
            received += piece
    return int(received[9:12]) if len(received) == 12 else 0


def memory_of(server: Server) -> int:
    """The resident bytes of a server's process."""
    assert server.process is not None
    return int(psutil.Process(server.process.pid).memory_info().rss)


def connections_of(server: Server) -> int:
    """How many connections a server has open with clients."""
    assert server.process is not None
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(each.laddr.port == server.port and each.status != psutil.CONN_LISTEN for each in found)
