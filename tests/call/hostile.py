"""Bodies and replies that are made to cost much, and a watch over what holds the event loop meanwhile."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction

import msgspec

from proxy.endpoints.base import Headers
from proxy.errors import Refusal
from proxy.pricing.rates import Rate
from tests.call.fakes import RATES, SECRET, Stage, Upstreams
from tests.call.hostile_bodies import FORM_HEAD

MEGABYTE = 1_048_576
CHUNK_BYTES = 262_144
FUNDS_NANO = 10**15
BEAT_SECONDS = 0.0005
PRICED = (*RATES, Rate("output_image_tokens", Fraction(2_000), 1))
"""Rates for every endpoint."""

Shape = Callable[[int], bytes]


def many(item: bytes, before: bytes = b"[", after: bytes = b"]") -> Shape:
    """As many items as come to a size, with commas between them."""
    return lambda size: before + item + (b"," + item) * (size // (len(item) + 1)) + after


def text(piece: bytes) -> Shape:
    """A string of a size."""
    return lambda size: b'"' + piece * (size // len(piece)) + b'"'


def numbered(size: int) -> bytes:
    """An object of as many members as come to a size."""
    return b"{" + b",".join(b'"k%d":1' % number for number in range(size // 13)) + b"}"


def nested(size: int) -> bytes:
    """Much that is nested as deeply as is read."""
    return b"[" + b",".join([b"[" * 100 + b"]" * 100] * (size // 201)) + b"]"


VALUES: Mapping[str, Shape] = {
    "base64": text(b"QUJD"),
    "prose": text(b"The fare, due before the ride, is 5. "),
    "escapes": text(rb"\n\u00e9"),
    "backslashes": text(rb"\\"),
    "quotes": text(rb"\""),
    "lone surrogates": text(rb"\ud800"),
    "pairs": text(rb"\ud83d\ude00"),
    "letters of three bytes": text("日".encode()),
    "blanks in a string": text(b" "),
    "objects": many(b"{}"),
    "arrays": many(b"[]"),
    "numbers": many(b"1"),
    "floats": many(b"-1.25e9"),
    "strings": many(b'"a"'),
    "empty strings": many(b'""'),
    "strings of a page": many(b'"' + b"a, b. " * 600 + b'"'),
    "strings of escapes": many(b'"' + rb"\ud800\"" * 600 + b'"'),
    "token ids": many(b"[1,2]"),
    "objects of one": many(b'{"a":{}}'),
    "messages": many(b'{"role":"user","content":"Hi, you"}'),
    "parts": many(b'{"type":"text","text":"a"}', b'[{"role":"user","content":[', b"]}]"),
    "images": many(b'{"type":"image_url","image_url":{"url":"a"}}', b'[{"role":"user","content":[', b"]}]"),
    "tools": many(b'{"type":"function","function":{"name":"f"}}'),
    "choices": many(b'{"index":0,"message":{"content":"a"}}'),
    "calls": many(b'{"function":{"name":"f"}}', b'[{"message":{"tool_calls":[', b"]}}]"),
    "words": many(b'{"type":"text","text":"a"}', b'[{"message":{"content":[', b"]}}]"),
    "members": numbered,
    "repeats": many(b'"a":1', b"{", b"}"),
    "messages with repeats": many(b'{"role":"user","content":[],"content":"a"}'),
    "nested": nested,
    "deep": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "brackets": lambda size: b"[" * size,
    "blanks": lambda size: b"[" + b" " * size + b"1]",
    "number": lambda size: b"1" * size,
    "NaN": many(b"NaN"),
    "quote marks": lambda size: b'"' * size,
    "commas": lambda size: b"," * size,
}
"""JSON values of any size, and some that are none."""

REPLIES: Mapping[str, bytes] = {
    "choices": b'{"choices":$,"usage":{"prompt_tokens":9,"completion_tokens":9}}',
    "content": b'{"choices":[{"message":{"content":$},"finish_reason":"stop"}]}',
    "delta": b'{"choices":[{"delta":{"content":$},"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}',
    "logprobs": b'{"choices":[{"text":"a","logprobs":$,"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}',
    "usage": b'{"choices":[{"message":{"content":"a"}}],"usage":$}',
    "usage details": b'{"choices":[],"usage":{"prompt_tokens":9,"prompt_tokens_details":$}}',
    "error": b'{"choices":[],"error":$}',
    "extra": b'{"x":$,"usage":{"prompt_tokens":9,"completion_tokens":9},"choices":[{"text":"a"}]}',
    "data": b'{"data":[{"embedding":$}],"usage":{"prompt_tokens":9,"total_tokens":9}}',
    "all of it": b"$",
}
"""Replies with `$` where a value stands."""

EVENTS: Mapping[str, Mapping[str, bytes]] = {
    "/v1/messages": {
        "text": b'{"type":"content_block_delta","delta":{"type":"text_delta","text":$}}',
        "block": b'{"type":"content_block_start","content_block":{"type":"x_tool_result","content":$}}',
        "extra": b'{"type":"unheard_of","x":$}',
    },
    "/v1/responses": {
        "text": b'{"type":"response.output_text.delta","output_index":0,"delta":$}',
        "index": b'{"type":"response.output_text.delta","output_index":$,"item_id":$,"delta":"a"}',
        "item": b'{"type":"response.output_item.done","item":$}',
        "output": b'{"type":"response.completed","response":{"output":$,"usage":{"input_tokens":9}}}',
        "picture": b'{"type":"response.image_generation_call.partial_image","partial_image_b64":$}',
        "extra": b'{"type":"unheard_of","x":$}',
    },
    "/v1/images/generations": {
        "unfinished": b'{"type":"image_generation.partial_image","partial_image_index":0,"b64_json":$}',
        "finished": b'{"type":"image_generation.completed","b64_json":$,"usage":{"output_tokens":9}}',
        "extra": b'{"type":"image_generation.unheard_of","x":$}',
    },
}
"""The same of events of other families, by path."""

WHOLES: Mapping[str, Mapping[str, bytes]] = {
    "/v1/videos": {
        "prompt": b'{"id":"a","status":"completed","prompt":$}',
        "status": b'{"id":"a","status":$}',
        "error": b'{"id":"a","status":"failed","error":$}',
        "all of it": b"$",
    },
    "/v1/messages": {
        "content": b'{"type":"message","content":$,"usage":{"input_tokens":9,"output_tokens":9}}',
        "text": b'{"type":"message","content":[{"type":"text","text":$}],"stop_reason":"end_turn"}',
        "input": b'{"type":"message","content":[{"type":"tool_use","name":"f","input":$}]}',
        "usage": b'{"type":"message","content":[],"usage":{"output_tokens":9,"iterations":$}}',
    },
    "/v1/responses": {
        "output": b'{"output":$,"usage":{"input_tokens":9,"output_tokens":9}}',
        "content": b'{"output":[{"type":"message","content":$}],"status":"completed"}',
        "arguments": b'{"output":[{"type":"function_call","name":"f","arguments":$}]}',
        "item": b'{"output":[{"type":"unheard_of","x":$}],"tool_usage":$}',
        "usage": b'{"output":[],"usage":{"input_tokens":9,"input_tokens_details":$}}',
        "echo": b'{"output":[],"tools":$,"usage":{"input_tokens":9,"output_tokens":9}}',
    },
    "/v1/images/generations": {
        "data": b'{"data":$,"usage":{"input_tokens":9,"output_tokens":9}}',
        "picture": b'{"data":[{"b64_json":$}],"usage":{"input_tokens":9,"output_tokens":9}}',
        "url": b'{"data":[{"url":$}]}',
        "usage": b'{"data":[{"b64_json":"QUJD"}],"usage":$}',
        "svg usage": b'{"data":[{"b64_json":"QUJD"}],"usage":{"output_tokens":9},"svg_usage":$}',
        "error": b'{"data":[],"error":$}',
    },
}
"""The same of whole answers."""

ENDS: Mapping[str, bytes] = {
    "/v1/messages": b'data: {"type":"message_stop"}\n\n',
    "/v1/responses": b'data: {"type":"response.completed","response":{"output":[]}}\n\n',
    "/v1/images/generations": b"data: [DONE]\n\n",
}
"""How their streams end."""

RANKINGS: Mapping[str, bytes] = {
    "results": b'{"results":$,"usage":{"total_tokens":3}}',
    "all of it": b"$",
    "usage": b'{"results":[],"usage":$}',
    "meta": b'{"results":[],"meta":{"billed_units":$}}',
    "array": b'[{"index":0,"text":$}]',
    "document": b'{"results":[{"document":{"text":$}}]}',
}
"""The same of those that rank documents."""


class Body:
    """A request with a body of these bytes."""

    def __init__(self, path: str, body: bytes, *, wants_cost: bool = False, headers: Headers = ()) -> None:
        self.id = "req_1"
        self.method = "POST"
        self.path = path
        self.query = ""
        self.headers = tuple(headers) or (FORM_HEAD if body.startswith(b"--form") else ())
        self.secret: str | None = SECRET
        self.wants_cost = wants_cost
        self.run = ""
        self.facts: dict[str, str] = {}
        self._body = body

    async def body_at_hand(self) -> bytes | None:
        """The bytes."""
        return self._body

    async def body(self) -> bytes:
        """The bytes."""
        return self._body


class Sink:
    """A client that counts what it takes."""

    def __init__(self) -> None:
        self.started = False
        self.size_bytes = 0

    def on_left(self, goes_on: Callable[[], bool]) -> None: ...

    def head(self, status: int, headers: list[tuple[str, str]]) -> None: ...

    def add_headers(self, headers: dict[str, str]) -> None: ...

    async def write(self, data: bytes) -> None:
        """Take some bytes."""
        self.started = True
        self.size_bytes += len(data)

    async def end(self, data: bytes = b"") -> None:
        """Take the last bytes."""
        await self.write(data)

    async def break_off(self, refusal: Refusal) -> None:
        """Take no more."""


class Strain(msgspec.Struct):
    """What a piece of work took: its processor time, and the most of that between two turns of the loop."""

    total_ms: float = 0
    stall_ms: float = 0


async def strain(work: Callable[[], object]) -> Strain:
    """Do asynchronous work while the loop is watched. Processor time is the process's own, on all threads.

    It does not pass while other processes have the processors, so that a busy machine makes no stall.
    """
    found = Strain()
    ended = False

    async def beat() -> None:
        before = time.process_time()
        while not ended:
            await asyncio.sleep(BEAT_SECONDS)
            now = time.process_time()
            found.stall_ms = max(found.stall_ms, 1_000 * (now - before))
            before = now

    beats = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    begun = time.process_time()
    try:
        made = work()
        assert asyncio.iscoroutine(made)
        await made
    finally:
        found.total_ms = 1_000 * (time.process_time() - begun)
        await asyncio.sleep(0)
        ended = True
        await beats
    return found


@contextmanager
def worker_switches() -> Iterator[None]:
    """Threads take turns as often as they do in a worker."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def chunks(reply: bytes) -> list[bytes]:
    """A reply as it comes."""
    return [reply[at : at + CHUNK_BYTES] for at in range(0, len(reply), CHUNK_BYTES)]


async def one_call(
    path: str,
    body: bytes,
    reply: Sequence[bytes],
    funds_nano: int = FUNDS_NANO,
    headers: Headers = (),
    *,
    wants_cost: bool = True,
) -> tuple[Strain, str]:
    """Take a call with this body and this reply through the relay: the strain, and the code of a refusal."""
    stage = Stage(Upstreams(list(reply)), rates=PRICED, funds_nano=funds_nano)
    codes: list[str] = []

    async def work() -> None:
        try:
            await stage.relay.relay(Body(path, body, wants_cost=wants_cost, headers=headers), Sink())
        except Refusal as refusal:
            codes.append(refusal.code)

    found = await strain(work)
    await stage.rest()
    assert stage.heard.faults == []
    assert "internal_error" not in codes
    stage.rows()
    return found, "".join(codes)
