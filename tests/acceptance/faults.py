"""What an upstream can do wrong, what its client must see of it, and what that costs.

Rates are 1,000 nano-USD a token in and 2,000 out. Every answer that is whole says which call it is for.
"""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.endpoints.reading.depth import DEPTH_MAX
from proxy.endpoints.tallies.part import SHORT_BYTES
from tests.acceptance.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Act,
    answer,
    begins,
    hang_up,
    reset,
    says,
    until_left,
)
from tests.acceptance.scripted_upstream import DONE, chunk, completion, usage_chunk

FIRST_BYTE_SECONDS = 1.0
"""How long the server that is tested waits for what times out: for an answer, and for each piece of one."""
WHOLE_NANO, COUNTED_NANO, STREAM_NANO = 25_000, 13_000, 20_000
BROKEN_NANO = 11_000
"""9 tokens of input and "hello", counted: the cost of a stream of which no more came."""
HELLO = "hello"
SMUGGLED = "this answer is nobody's"


@dataclass(frozen=True)
class Fault:
    """What is done about a call, given its name; the status its client gets, its outcome and its charge.

    A stream that `breaks` is charged if what it said first got as far as the client, else it is free. What
    `times_out` says nothing more at some point, and only the server's patience ends it.
    """

    act: Callable[[str], Act]
    status: int
    outcome: str
    charge_nano: int = 0
    stream: bool = False
    breaks: bool = False
    times_out: bool = False


def whole(name: str, prompt: int = 11) -> bytes:
    """A proper answer to the call of this name."""
    return answer(completion(text=name if prompt > 0 else "Hello there", prompt=prompt, id=name))


def events(name: str) -> tuple[bytes, ...]:
    """A proper stream for the call of this name."""
    return chunk(HELLO, id=name), chunk(finish="stop"), usage_chunk(10, 5), DONE


def dribbles(data: bytes, pieces: int, seconds: float) -> Act:
    """Send bytes in pieces, with a pause before each but the first."""

    def act(connection: socket.socket, number: int) -> None:
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            time.sleep(seconds if start else 0)
            connection.sendall(data[start : start + size])

    return act


def ends_its_side(connection: socket.socket) -> None:
    """Say that nothing more comes, and wait for the other side to go."""
    connection.shutdown(socket.SHUT_WR)
    until_left(connection)


def resets_later(connection: socket.socket) -> None:
    """Reset once what was sent has had time to be read: a reset may overtake it."""
    time.sleep(0.1)
    reset(connection)


def ends_badly(connection: socket.socket) -> None:
    """Send what is no chunk, once what was sent before has had time to be read."""
    time.sleep(0.1)
    connection.sendall(b"zz\r\n")


HUGE_HEADER = b"X-Huge: " + b"h" * 300_000
MANY_HEADERS = b"\r\n".join(b"X-Many-%d: m" % number for number in range(5_000))
GARBAGE = bytes(range(256)) * 4
TRUNCATED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"
CHUNKED = STREAM_HEAD.replace(b"text/event-stream", b"application/json")
DEEP = json.loads("[" * DEPTH_MAX + json.dumps("x" * SHORT_BYTES) + "]" * DEPTH_MAX)
SLOW_HEAD_SECONDS = FIRST_BYTE_SECONDS / 4

_WHOLE = (200, "complete", WHOLE_NANO)
_NONE = "unreachable"
_BROKE = (200, "upstream_failed", BROKEN_NANO, True, True)
_STREAM = (200, "complete", STREAM_NANO, True)

FAULTS: dict[str, Fault] = {
    # Answers that are whole, however they come.
    "fine": Fault(lambda name: says(whole(name)), *_WHOLE),
    "fine, a piece at a time": Fault(lambda name: dribbles(whole(name), 12, 0.03), *_WHOLE),
    "fine, half closed": Fault(lambda name: says(whole(name), ends_its_side), *_WHOLE),
    "fine, hangs up": Fault(lambda name: says(whole(name), hang_up), *_WHOLE),
    "fine, and another one": Fault(lambda name: says(whole(name) + whole(SMUGGLED)), *_WHOLE),
    "fine, and garbage": Fault(lambda name: says(whole(name) + GARBAGE), *_WHOLE),
    "fine, says no usage": Fault(lambda name: says(whole(name, -1)), 200, "complete", COUNTED_NANO),
    # None at all.
    "resets": Fault(lambda _: says(b"", reset), 502, _NONE),
    "hangs up": Fault(lambda _: says(b"", hang_up), 502, _NONE),
    "half closes": Fault(lambda _: says(b"", ends_its_side), 502, _NONE),
    "is silent": Fault(lambda _: says(b"", until_left), 504, _NONE, times_out=True),
    "a head that never ends": Fault(lambda _: dribbles(MANY_HEADERS, 400, SLOW_HEAD_SECONDS), 502, _NONE),
    "a slow head": Fault(
        lambda name: dribbles(whole(name), 100, SLOW_HEAD_SECONDS), 504, _NONE, times_out=True
    ),
    "half a head": Fault(lambda _: says(TRUNCATED[:40], hang_up), 502, _NONE),
    "garbage": Fault(lambda _: says(GARBAGE), 502, _NONE),
    "a huge header": Fault(lambda _: says(answer(completion(), HUGE_HEADER)), 502, _NONE),
    "many headers": Fault(lambda _: says(answer(completion(), MANY_HEADERS)), 502, _NONE),
    "is broken itself": Fault(
        lambda _: says(answer({"error": {}}, status=b"500 No")), 500, "upstream_refused"
    ),
    # Whole bodies that do not come to their end.
    "stalls": Fault(lambda _: says(TRUNCATED, until_left), 504, "upstream_failed", times_out=True),
    "breaks off": Fault(lambda _: says(TRUNCATED, hang_up), 502, "upstream_failed"),
    "resets within": Fault(lambda _: says(TRUNCATED, resets_later), 502, "upstream_failed"),
    "a bad chunk": Fault(lambda _: says(CHUNKED, ends_badly), 502, "upstream_failed"),
    "a bad chunk at once": Fault(lambda _: says(CHUNKED + b"zz\r\n{}\r\n"), 502, _NONE),
    "a deep answer": Fault(lambda _: says(answer({**completion(), "x": DEEP})), 502, "upstream_failed"),
    # Streams.
    "streams": Fault(lambda name: says(begins(*events(name)) + LAST_CHUNK), *_STREAM),
    "streams, a piece at a time": Fault(
        lambda name: dribbles(begins(*events(name)) + LAST_CHUNK, 20, 0.02), *_STREAM
    ),
    "streams, half closed": Fault(
        lambda name: says(begins(*events(name)) + LAST_CHUNK, ends_its_side), *_STREAM
    ),
    "streams, no end of chunks": Fault(lambda name: says(begins(*events(name)), hang_up), *_STREAM),
    "streams, resets at the end": Fault(lambda name: says(begins(*events(name)), resets_later), *_STREAM),
    "a stream that breaks off": Fault(lambda _: says(begins(chunk(HELLO)), hang_up), *_BROKE),
    "a stream that is reset": Fault(lambda _: says(begins(chunk(HELLO)), resets_later), *_BROKE),
    "a stream that stalls": Fault(lambda _: says(begins(chunk(HELLO)), until_left), *_BROKE, times_out=True),
    "a stream that is half closed": Fault(lambda _: says(begins(chunk(HELLO)), ends_its_side), *_BROKE),
    "a stream with a bad chunk": Fault(lambda _: says(begins(chunk(HELLO)), ends_badly), *_BROKE),
    "a stream with a bad chunk at once": Fault(
        lambda _: says(begins(chunk(HELLO)) + b"zz\r\n"), 502, _NONE, stream=True
    ),
    "a stream that reports an error": Fault(
        lambda _: says(begins(chunk(HELLO), b'data: {"error": {"message": "no"}}\n\n') + LAST_CHUNK), *_BROKE
    ),
    "a stream that goes deep": Fault(
        lambda _: says(begins(chunk(HELLO), chunk(SMUGGLED, x=DEEP)) + LAST_CHUNK), *_BROKE
    ),
    "a stream that ends early": Fault(lambda _: says(begins(chunk(HELLO)) + LAST_CHUNK), *_BROKE),
}
