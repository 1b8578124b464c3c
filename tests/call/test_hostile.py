"""No body and no reply holds the event loop, and what each costs grows no faster than its length.

A stall is processor time of the process between two turns of the loop, the least of several tries. What it
may be is measured on the machine that runs the tests: what a decoder takes for two megabytes. That is several
times of what most stalls are, and far below what a decoder takes for the whole of the largest texts.
"""

import asyncio
import gc
import json
import time
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from proxy.endpoints.base import Headers
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.tokens import pieces
from proxy.metering.vocabulary import SHARED
from tests.call.fakes import WHOLE
from tests.call.hostile import (
    ENDS,
    EVENTS,
    FUNDS_NANO,
    MEGABYTE,
    RANKINGS,
    REPLIES,
    VALUES,
    WHOLES,
    Strain,
    chunks,
    one_call,
    strain,
    worker_switches,
)
from tests.call.hostile_bodies import ASKS, BODIES

TRIES = 6
# So much more than eight times as long may eight times as much take: machines are busy, and one megabyte
# may be refused where eight are.
GROWTH_MAX = 3
LEAST_MS = 60
"""Work that takes less is not compared: it is too short to be measured."""


@cache
def stall_ms_max() -> float:
    """What decoding two megabytes of small members takes here, the least of several tries."""
    whole = VALUES["members"](2 * MEGABYTE)

    def once() -> float:
        begun = time.process_time()
        json.loads(whole)
        return 1_000 * (time.process_time() - begun)

    gc.disable()
    try:
        return min(once() for _ in range(5))
    finally:
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def worker() -> Iterator[None]:
    """What a worker has done before its first call."""
    SHARED.preload(["o200k_base"])
    # What other tests have left would be walked in the middle of a call, which no worker has to do.
    gc.collect()
    gc.freeze()
    with worker_switches():
        yield


async def assert_light(
    path: str,
    body: bytes,
    reply: Sequence[bytes],
    funds_nano: int = FUNDS_NANO,
    headers: Headers = (),
    *,
    wants_cost: bool = True,
) -> Strain:
    """A call does not hold the loop. The least strain of some tries."""

    async def once() -> Strain:
        return (await one_call(path, body, reply, funds_nano, headers, wants_cost=wants_cost))[0]

    least = await once()
    for _ in range(TRIES):
        if least.stall_ms <= stall_ms_max():
            break
        again = await once()
        least = Strain(min(least.total_ms, again.total_ms), min(least.stall_ms, again.stall_ms))
    assert least.stall_ms <= stall_ms_max()
    return least


PICTURE = [b'{"data":[{"b64_json":"QUJD"}],"usage":{"input_tokens":3,"output_tokens":3}}']
ORDINARY: dict[str, list[bytes]] = {
    "/v1/chat/completions": WHOLE,
    "/v1/completions": WHOLE,
    "/v1/embeddings": [b'{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}'],
    "/v1/videos": [b'{"id":"a","status":"completed"}'],
    "/v1/moderations": [b'{"results":[{"flagged":false}]}'],
    "/v1/rerank": [b'{"results":[],"usage":{"total_tokens":3}}'],
    "/v1/messages": [b'{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":3}}'],
    "/v1/responses": [b'{"output":[],"usage":{"input_tokens":3,"output_tokens":3}}'],
    "/v1/conversations": [b'{"id":"conv_1"}'],
    "/v1/images/generations": PICTURE,
    "/v1/images/edits": PICTURE,
}


SLOW_TO_READ = ("empty strings", "numbers", "blanks in a string")
"""Wherever the whole size of these would be noticed, it takes more than twice of what may be a stall."""


def size_of(name: str) -> int:
    """So much that most values are noticed where they are read on the loop.

    Text is quick to read, so that it takes more of it to hold anybody up. What is not cut into short steps
    is noticed at the largest sizes, which have tests of their own.
    """
    size = MEGABYTE if VALUES[name](0) == b'""' else MEGABYTE // 4
    return size // 2 if name in SLOW_TO_READ else size


BODY_PLACES = [(path, place) for path, places in BODIES.items() for place in places]


@pytest.mark.parametrize("name", VALUES)
async def test_no_body_holds_the_loop(name: str) -> None:
    """Each value at a sixth of the places where each endpoint reads one, in turn."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for path, place in BODY_PLACES[at % 6 :: 6]:
        await assert_light(path, BODIES[path][place].replace(b"$", value), ORDINARY[path])


@pytest.mark.parametrize("name", VALUES)
async def test_no_reply_holds_the_loop(name: str) -> None:
    """Whole and as an event of a stream, with the cost asked for: at a third of the places of a reply."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for turn, template in enumerate(list(REPLIES.values())[at % 3 :: 3]):
        path = list(BODIES)[(at + turn) % 3]
        reply = template.replace(b"$", value)
        streams = path != "/v1/embeddings" and turn % 2 == 0
        if streams:
            reply = b"data: " + reply + b"\n\ndata: [DONE]\n\n"
        body = ASKS[path].replace(b"$", b"true" if streams else b"false")
        await assert_light(path, body, chunks(reply))


@pytest.mark.parametrize("name", VALUES)
async def test_no_ranking_holds_the_loop(name: str) -> None:
    """Each value at half of the places, and as a bare array."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for template in list(RANKINGS.values())[at % 2 :: 2]:
        await assert_light("/v1/rerank", ASKS["/v1/rerank"], chunks(template.replace(b"$", value)))


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("path", ENDS)
async def test_no_answer_of_another_family_holds_the_loop(path: str, name: str) -> None:
    """Each value at a third of the places of whole answers and of events, with the cost asked for."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for template in list(WHOLES[path].values())[at % 3 :: 3]:
        body = ASKS[path].replace(b"$", b"false")
        await assert_light(path, body, chunks(template.replace(b"$", value)))
    for template in list(EVENTS[path].values())[at % 3 :: 3]:
        reply = b"event: x\ndata: " + template.replace(b"$", value) + b"\n\n" + ENDS[path]
        await assert_light(path, ASKS[path].replace(b"$", b"true"), chunks(reply))


@pytest.mark.parametrize("name", ["base64", "prose", "escapes", "lone surrogates"])
async def test_text_that_the_funds_do_not_pay_for_is_not_counted_on_the_loop(name: str) -> None:
    """What looks like an image and is none is text: too long a one is refused without counting it."""
    value = VALUES[name](9 * MEGABYTE)
    body = BODIES["/v1/chat/completions"]["content"].replace(b"$", value)
    strained = await assert_light("/v1/chat/completions", body, WHOLE, funds_nano=10**9)
    assert strained.total_ms < 5_000


@pytest.mark.parametrize("place", ["content", "delta"])
@pytest.mark.parametrize("stream", [True, False])
async def test_no_output_without_usage_holds_the_loop(place: str, stream: bool) -> None:
    """All of it is counted: halves of characters, too, which are replaced for that."""
    reply = REPLIES[place].replace(b"$", VALUES["lone surrogates"](2 * MEGABYTE)).replace(b'"usage"', b'"x"')
    if stream:
        reply = b"data: " + reply + b"\n\ndata: [DONE]\n\n"
    body = b'{"model":"m","messages":[],"stream":%b}' % (b"true" if stream else b"false")
    await assert_light("/v1/chat/completions", body, chunks(reply))


MOST = 64 * MEGABYTE - 1_024
"""The longest bodies and replies that are read."""

MOST_BODIES = [
    ("/v1/chat/completions", "content", "base64"),
    ("/v1/chat/completions", "content", "escapes"),
    ("/v1/completions", "echo", "base64"),
    ("/v1/embeddings", "input", "token ids"),
    ("/v1/images/edits", "reference", "base64"),
    ("/v1/images/edits", "file", "base64"),
    ("/v1/moderations", "url", "base64"),
    ("/v1/rerank", "document", "prose"),
    ("/v1/rerank", "documents", "strings of a page"),
]


@pytest.mark.parametrize(("path", "place", "name"), MOST_BODIES)
async def test_no_body_of_the_most_that_is_taken_holds_the_loop(path: str, place: str, name: str) -> None:
    body = BODIES[path][place].replace(b"$", VALUES[name](MOST))
    await assert_light(path, body, ORDINARY[path])


MOST_REPLIES = [
    ("whole", "logprobs", "base64"),
    ("whole", "data", "floats"),
    ("event", "extra", "base64"),
    ("event", "all of it", "objects"),
    ("named event", "extra", "lone surrogates"),
    ("stray", "all of it", "prose"),
]


@pytest.mark.parametrize(("kind", "place", "name"), MOST_REPLIES)
async def test_no_reply_of_the_most_that_is_taken_holds_the_loop(kind: str, place: str, name: str) -> None:
    """As it is searched for its usage, and gets its cost."""
    path = "/v1/embeddings" if place == "data" else "/v1/chat/completions"
    reply = REPLIES[place].replace(b"$", VALUES[name](MOST))
    before = {"whole": b"", "event": b"data: ", "named event": b"event: a\ndata:", "stray": b""}[kind]
    if kind != "whole":
        reply = before + reply + b"\n\ndata: [DONE]\n\n"
    body = ASKS[path].replace(b"$", b"false" if kind == "whole" else b"true")
    await assert_light(path, body, chunks(reply))


@pytest.mark.parametrize("wants_cost", [True, False])
@pytest.mark.parametrize("place", ["picture", "unfinished", "finished"])
async def test_no_picture_of_the_most_that_is_taken_holds_the_loop(place: str, *, wants_cost: bool) -> None:
    """In one piece, as an event that passes, and as the one that waits for the charge, with what follows."""
    path, is_whole = "/v1/images/generations", place == "picture"
    template = (WHOLES if is_whole else EVENTS)[path][place]
    reply = template.replace(b"$", VALUES["base64"](MOST))
    if not is_whole:
        reply = b"event: a\ndata: " + reply + b"\n\ndata: [DONE]\n\n"
    body = b'{"model":"m","prompt":"A","stream":%b}' % (b"false" if is_whole else b"true")
    await assert_light(path, body, chunks(reply), wants_cost=wants_cost)


@pytest.mark.parametrize(("path", "place"), [("/v1/responses", "picture"), ("/v1/messages", "block")])
async def test_no_event_of_the_most_that_is_taken_holds_the_loop(path: str, place: str) -> None:
    """Of families whose events are read as a whole: a picture of which a part is shown, what a tool found."""
    event = EVENTS[path][place].replace(b"$", VALUES["base64"](MOST))
    reply = b"event: x\ndata: " + event + b"\n\n" + ENDS[path]
    await assert_light(path, ASKS[path].replace(b"$", b"true"), chunks(reply))


MOST_OUTPUT = {
    "text": (b'{"choices":[{"message":{"content":$}}]}', "prose"),
    "parts": (b'{"choices":[{"message":{"content":$}}]}', "strings of a page"),
    "arguments": (
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":$}}}]}}]}',
        "letters of three bytes",
    ),
    "foreign": (b'{"output":$}', "escapes"),
}
"""Replies whose output has to be counted, by what it is."""


@pytest.mark.parametrize("name", MOST_OUTPUT)
async def test_no_output_of_the_most_that_is_taken_holds_the_loop(name: str) -> None:
    """It is read, kept and taken out again piece by piece; counting takes turns with the loop anyhow."""
    template, shape = MOST_OUTPUT[name]
    reply = chunks(template.replace(b"$", VALUES[shape](MOST)))
    stalls_ms: list[float] = []
    while len(stalls_ms) < TRIES and min(stalls_ms, default=stall_ms_max()) >= stall_ms_max():
        tally = WholeTally()
        for chunk in reply:
            tally.feed(chunk)

        async def work(tally: WholeTally = tally) -> None:
            await asyncio.to_thread(tally.finish)
            text = await asyncio.to_thread(tally.output_text)
            later = text[len(text) // 2 :]
            await asyncio.to_thread(lambda: sum(map(len, pieces(later))))

        stalls_ms.append((await strain(work)).stall_ms)
        assert tally.produced_size > MOST // 4
    assert min(stalls_ms) < stall_ms_max()


async def test_a_decoder_that_works_on_the_whole_is_noticed() -> None:
    """In a thread as well: it does not let the loop go on."""
    whole = VALUES["objects"](8 * MEGABYTE)
    # What others have the collector call would let the loop go on in between.
    gc.disable()
    try:
        found = [await strain(lambda: asyncio.to_thread(json.loads, whole)) for _ in range(3)]
    finally:
        gc.enable()
    assert min(strained.stall_ms for strained in found) > stall_ms_max()


@pytest.mark.parametrize("lines", [b"a\r", b"data:\n", b"data: 1\r\n", b": \n"])
async def test_no_event_of_many_lines_holds_the_loop(lines: bytes) -> None:
    reply = lines * (MEGABYTE // len(lines)) + b"\r\n\r\n"
    body = b'{"model":"m","messages":[],"stream":true}'
    await assert_light("/v1/chat/completions", body, chunks(reply))


async def test_no_echo_of_many_prompts_holds_the_loop() -> None:
    """Each choice begins with its prompt; all of them are compared with it, in time that is linear."""
    prompts = b",".join(b'"%d and so on"' % number for number in range(10_000))
    body = b'{"model":"m","n":4,"echo":true,"stream":true,"prompt":[%b]}' % prompts
    reply = b"".join(
        b'data: {"choices":[{"index":%d,"text":"%d and"}]}\n\n' % (number, number // 4)
        for number in range(40_000)
    )
    strained = await assert_light("/v1/completions", body, chunks(reply))
    assert strained.total_ms < 10_000


@pytest.mark.parametrize("name", ["prose", "escapes", "lone surrogates", "strings of a page", "nested"])
@pytest.mark.parametrize("where", ["body", "reply"])
async def test_eight_times_as_much_costs_about_eight_times_as_much(name: str, where: str) -> None:
    """No work is quadratic in the length of anything."""

    async def cost_ms(size: int) -> float:
        value = VALUES[name](size)
        path = "/v1/chat/completions"
        if where == "body":
            body = BODIES[path]["extra"].replace(b"$", value)
            return (await assert_light(path, body, WHOLE)).total_ms
        reply = REPLIES["extra"].replace(b"$", value)
        return (await assert_light(path, b'{"model":"m","messages":[]}', chunks(reply))).total_ms

    small = min([await cost_ms(MEGABYTE), await cost_ms(MEGABYTE)])
    large = await cost_ms(8 * MEGABYTE)
    assert large < GROWTH_MAX * 8 * max(small, LEAST_MS / 8)
