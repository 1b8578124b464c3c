"""An upstream of raw sockets in threads: a test says byte by byte what it does for a model or a path."""

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.acceptance.harness import WAIT_SECONDS, Account
from tests.acceptance.scripted_upstream import completion

Act = Callable[[socket.socket, int], None]
"""What is done with a connection once its n-th request, counted from 1, was read whole."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class RawUpstream:
    """Acts as registered under the request's model, else under its path, else under `*`."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.received: list[tuple[str, bytes]] = []
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def act_of(self, name: str) -> Act:
        """What is done about a request with this model or path."""
        return self.acts.get(name) or self.acts["*"]

    def bodies(self, name: str) -> list[bytes]:
        """The bodies of the requests for this model or path, in order."""
        return [body for asked, body in self.received if asked == name]

    def stop(self) -> None:
        """Accept nothing more, break off every connection, and wait for the thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_SECONDS)
        self._listener.close()
        for connection in list(self._connections):
            hang_up(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            number = 0
            while request_line := reader.readline():
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += reader.readline()
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = reader.read(int(length[1])) if length else b""
                number += 1
                name = _name_of(request_line, body)
                self.received.append((name, body))
                self.act_of(name)(connection, number)
        self._connections.discard(connection)


def _name_of(request_line: bytes, body: bytes) -> str:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return str(json.loads(body)["model"])
    return request_line.split(b" ")[1].decode().partition("?")[0]


def hang_up(connection: socket.socket) -> None:
    """End a connection with a FIN; nothing more is read from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    """End a connection with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The reader shares the descriptor, which only `detach` and a close of its own give up at once.
    socket.close(connection.detach())


def until_left(connection: socket.socket) -> None:
    """Be silent until the other side is gone."""
    with contextlib.suppress(OSError):
        while connection.recv(65_536):
            pass


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(reply: dict[str, Any], *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole JSON answer with these header lines besides."""
    body = json.dumps(reply).encode()
    lines = (
        b"HTTP/1.1 " + status,
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *headers,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def says(data: bytes, then: Callable[[socket.socket], None] | None = None) -> Act:
    """Send these bytes, then do `then`; without it wait for the next request."""

    def act(connection: socket.socket, number: int) -> None:
        connection.sendall(data)
        if then is not None:
            then(connection)

    return act


def begins(*events: bytes) -> bytes:
    """A streamed answer up to these events, each in a chunk, without its end."""
    return STREAM_HEAD + b"".join(map(http_chunk, events))


class DiesOnce:
    """Answers; but the second request it gets is read, and then its connection hangs up.

    `numbers` says of each request the how manieth of its connection it was.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, connection: socket.socket, number: int) -> None:
        """Act on one request."""
        self.numbers.append(number)
        if len(self.numbers) == 2:
            hang_up(connection)
        else:
            connection.sendall(answer(completion()))


class Streaming:
    """A client in the middle of a streamed chat completion; a context manager that leaves at its end."""

    def __init__(self, account: Account, model: str) -> None:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "Say hello"}],
            "stream": True,
            "max_tokens": 1000,
        }
        self._client = http.client.HTTPConnection(
            account.api.url.removeprefix("http://"), timeout=WAIT_SECONDS
        )
        headers = {"Authorization": f"Bearer {account.secret}", "Content-Type": "application/json"}
        self._client.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        self.response = self._client.getresponse()

    def event(self) -> bytes:
        """The next event that is not empty."""
        line = self.response.readline()
        assert self.response.readline() == b"\n"
        return line

    def rest(self) -> bytes:
        """Everything that comes, `<broken>` after it when the end is not a proper one."""
        try:
            return self.response.read()
        except http.client.IncompleteRead as error:
            return error.partial + b"<broken>"
        except ConnectionResetError:
            return b"<broken>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._client.close()
