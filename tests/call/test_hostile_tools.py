"""Nothing that a tool's request or answer holds keeps the event loop, where its figures are looked for."""

import contextlib
from fractions import Fraction

import pytest

from proxy.call.off_loop import LARGE_BYTES
from proxy.endpoints.tool_plan import Measure
from proxy.errors import Refusal
from proxy.pricing.rates import Rate
from tests.call.hostile import FUNDS_NANO, VALUES, Body, Sink, Strain, chunks, strain
from tests.call.test_hostile import TRIES, size_of, stall_ms_max, worker
from tests.call.tool_stage import CREDIT, EVENTS, JSON, RATES, Typed, source, staged

__all__ = ["worker"]

NDJSON = "application/x-ndjson"
BODIES = (b'{"a":$,"in":{"limit":2}}', b'{"in":{"limit":$}}', b'{"in":{"a":$,"limit":2}}', b'{"in":$}')
ANSWERS = (
    b'{"results":$,"usage":{"credits":2}}',
    b'{"usage":{"credits":$}}',
    b'{"usage":{"a":$,"credits":2}}',
    b'{"usage":$,"credits":2}',
)
MEASURES = (
    Measure("credits", source("answer", "/usage/credits"), 5 * CREDIT),
    Measure("results", source("request", "/in/limit"), 10**6),
)


async def call(body: bytes, kind: str, pieces: list[bytes]) -> Strain:
    """Take a call through the relay, whatever comes of it; the strain of that."""
    upstreams = Typed(kind, pieces)
    stage = staged(
        upstreams, *MEASURES, rates=(*RATES, Rate("results", Fraction(1), 1)), funds_nano=FUNDS_NANO
    )

    async def relayed() -> None:
        with contextlib.suppress(Refusal):
            await stage.relay.relay(Body("/v1/tool", body), Sink())

    found = await strain(relayed)
    await stage.rest()
    assert upstreams.requests or pieces == [b"{}"], "the call was let through, and its answer read"
    return found


async def assert_light(body: bytes, kind: str, pieces: list[bytes]) -> None:
    """The least of several tries holds the loop for no longer than two megabytes take a decoder."""
    stalls_ms: list[float] = []
    for _ in range(TRIES):
        stalls_ms.append((await call(body, kind, pieces)).stall_ms)
        if stalls_ms[-1] <= stall_ms_max():
            return
    raise AssertionError(f"{min(stalls_ms)} ms")


@pytest.mark.parametrize("name", VALUES)
async def test_no_request_of_a_tool_holds_the_loop(name: str) -> None:
    """Each value beside the figure, in its place, and around it."""
    value = VALUES[name](size_of(name))
    for place in BODIES:
        await assert_light(place.replace(b"$", value), JSON, [b"{}"])


@pytest.mark.parametrize("name", VALUES)
async def test_no_answer_of_a_tool_holds_the_loop(name: str) -> None:
    """Each value likewise, whole, as a line and as an event."""
    value = VALUES[name](size_of(name))
    at = list(VALUES).index(name)
    for turn, place in enumerate(ANSWERS):
        reply = place.replace(b"$", value)
        kind = (JSON, NDJSON, EVENTS)[(at + turn) % 3]
        whole = {JSON: reply, NDJSON: reply + b"\n", EVENTS: b"data: " + reply + b"\n\n"}[kind]
        await assert_light(b'{"in":{"limit":2}}', kind, chunks(whole))


@pytest.mark.parametrize("kind", [NDJSON, EVENTS])
@pytest.mark.parametrize(
    "figure", [b'{"usage":{"credits":1}}', b'{"usage":{"credits":1,"credits":2}}', b"{}"]
)
async def test_no_number_of_events_holds_the_loop(kind: str, figure: bytes) -> None:
    """A chunk may hold thousands, each with a figure, or with one that can be read in two ways."""
    part = figure + b"\n" if kind == NDJSON else b"data: " + figure + b"\n\n"
    await assert_light(b'{"in":{"limit":2}}', kind, [part * (LARGE_BYTES // len(part))] * 4)
