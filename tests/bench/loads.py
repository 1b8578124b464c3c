"""The load: connections that send the same request over and over, and measure how long its answer takes.

Run as `python -m tests.bench.loads`, with a `Load` as JSON on its input; the `Yield` comes as JSON on its
output. A process of its own, on raw sockets, so that it takes nothing from what is measured.
"""

import asyncio
import sys
from time import perf_counter_ns
from typing import cast

import msgspec
import uvloop

from tests.bench import canned, wire

SETTLE_SECONDS = 30.0
"""How long the last calls may take after the time is over."""


class Load(msgspec.Struct, frozen=True):
    """What to send where: `connections` at once, one call after the other on each, for `seconds`.

    `events` asks for streams of so many; without it answers come whole. `family` names a call that is none
    of these chats.
    """

    port: int
    key: str
    connections: int
    seconds: float
    events: int | None = None
    family: str | None = None

    def request_bytes(self) -> bytes:
        """A whole HTTP request."""
        if self.family is None:
            return wire.request_bytes(self.port, self.key, events=self.events)
        (family,) = (each for each in canned.FAMILIES if each.name == self.family)
        return family.request_bytes(self.port, self.key)


class Spread(msgspec.Struct, frozen=True):
    """Half of all took no longer than `p50_us`, and all but one in a hundred no longer than `p99_us`."""

    p50_us: int
    p99_us: int


class Yield(msgspec.Struct, frozen=True):
    """What came of it. `first` is until the first byte of a whole answer, or the first event of a stream."""

    calls: int
    events: int
    seconds: float
    total: Spread
    first: Spread


def spread(samples_us: list[int]) -> Spread:
    """The spread of some samples, of which there is at least one."""
    ordered = sorted(samples_us)
    return Spread(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100])


class LoadError(Exception):
    """An answer was not 200, or a connection ended."""


class Caller(asyncio.Protocol):
    """One connection that is never idle until the time is over."""

    def __init__(self, request: bytes, until_ns: int, *, streamed: bool) -> None:
        self._request = request
        self._until_ns = until_ns
        self._first_mark = b"data: " if streamed else b"HTTP/1.1"
        self._transport: asyncio.Transport | None = None
        self._answer = bytearray()
        self._need = 0
        self._began_ns = 0
        self._first_ns = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.total_us: list[int] = []
        self.first_us: list[int] = []
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        answer += data
        if not self._first_ns and self._first_mark in answer:
            self._first_ns = perf_counter_ns()
        if not self._need:
            self._read_head(answer)
        if self._need and len(answer) >= self._need and (self._need > 1 or answer.endswith(b"\r\n0\r\n\r\n")):
            self._finish(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LoadError(f"the connection ended: {exc}"))

    def _send(self) -> None:
        assert self._transport is not None
        self._answer = bytearray()
        self._need = self._first_ns = 0
        self._began_ns = perf_counter_ns()
        self._transport.write(self._request)

    def _read_head(self, answer: bytearray) -> None:
        """Learn how long the answer is: a number of bytes, or 1 for one whose end has to be looked for."""
        end = answer.find(b"\r\n\r\n")
        if end < 0:
            return
        if not answer.startswith(b"HTTP/1.1 200"):
            self._end(LoadError(answer[:2000].decode("latin-1")))
            return
        head = answer[:end].lower()
        start = head.find(b"content-length:")
        self._need = 1 if start < 0 else end + 4 + int(head[start + 15 :].split(b"\r\n", 1)[0])

    def _finish(self, answer: bytearray) -> None:
        now_ns = perf_counter_ns()
        self.total_us.append((now_ns - self._began_ns) // 1000)
        self.first_us.append((self._first_ns - self._began_ns) // 1000)
        self.events += answer.count(b"data: ")
        if now_ns < self._until_ns:
            self._send()
        else:
            self._end(None)

    def _end(self, error: LoadError | None) -> None:
        if self._transport is not None:
            self._transport.abort()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


async def run_load(load: Load) -> Yield:
    """Send the load and gather what came of it. Raises LoadError, TimeoutError or OSError."""
    request = load.request_bytes()
    began_ns = perf_counter_ns()
    until_ns = began_ns + int(load.seconds * 1e9)
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(load.connections):
        _, caller = await loop.create_connection(
            lambda: Caller(request, until_ns, streamed=load.events is not None), "127.0.0.1", load.port
        )
        callers.append(caller)
    async with asyncio.timeout(load.seconds + SETTLE_SECONDS):
        await asyncio.gather(*(caller.done for caller in callers))
    return Yield(
        calls=sum(len(caller.total_us) for caller in callers),
        events=sum(caller.events for caller in callers),
        seconds=(perf_counter_ns() - began_ns) / 1e9,
        total=spread([us for caller in callers for us in caller.total_us]),
        first=spread([us for caller in callers for us in caller.first_us]),
    )


if __name__ == "__main__":
    outcome = uvloop.run(run_load(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
