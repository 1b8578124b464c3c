"""The bench's upstream: answers with canned bytes and does as little else as it can.

Run as `python -m tests.bench.upstream PORT EVENT_MS`. A stream's events are `EVENT_MS` milliseconds
apart, each written on its own, as a model would send them.
"""

import asyncio
import sys
from typing import cast

import uvloop

from tests.bench import canned, wire


class CannedUpstream(asyncio.Protocol):
    """One connection. Requests come one at a time, each with a Content-Length."""

    def __init__(self, event_seconds: float) -> None:
        self._event_seconds = event_seconds
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._pieces: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        head, mark, body = received.partition(b"\r\n\r\n")
        if not mark or len(body) < _length(head):
            self._received = received
            return
        self._received = b""
        assert self._transport is not None
        path = head.split(b" ", 2)[1].decode()
        first, *self._pieces = _family_pieces(path, body) or _chat_pieces(wire.events_wanted(body))
        self._transport.write(first)
        self._pieces.reverse()
        self._next_piece()

    def _next_piece(self) -> None:
        if self._transport is None or not self._pieces:
            return
        self._transport.write(self._pieces.pop())
        if self._pieces:
            self._timer = asyncio.get_running_loop().call_later(self._event_seconds, self._next_piece)


_WHOLE = wire.whole_answer()
_HEAD = wire.stream_head()
_EVENT = wire.stream_event()
_FAMILIES = {family.name: family.answer_bytes() for family in canned.FAMILIES if family.answer}


def _chat_pieces(events: int | None) -> list[bytes]:
    """A whole answer; or a head, the events and the end of a stream."""
    return [_WHOLE] if events is None else [_HEAD, *[_EVENT] * events, wire.stream_end(events)]


def _family_pieces(path: str, body: bytes) -> list[bytes]:
    """The answer of another family; empty for a chat."""
    family = None if path == wire.PATH else canned.family_at(path, body)
    return [] if family is None else _FAMILIES[family.name]


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"content-length:")
    return 0 if start < 0 else int(lowered[start + 15 :].split(b"\r\n", 1)[0])


async def serve(port: int, event_seconds: float) -> asyncio.Server:
    """Listen on loopback; port 0 takes any free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: CannedUpstream(event_seconds), "127.0.0.1", port, backlog=2048)


async def _main(port: int, event_seconds: float) -> None:
    server = await serve(port, event_seconds)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2]) / 1000))
