"""Faults of our own, and what else must not keep a hold open or cost the customer anything."""

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.call.admission import Admission
from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.budget import OutputBudget
from proxy.call.in_flight import InFlightCall
from proxy.call.policy import Catalog, Policy
from proxy.edge.bodies import Bounds
from proxy.edge.gateway import Gateway
from proxy.edge.middleware import Edge
from proxy.endpoints.base import Ask, Tally
from proxy.errors import Refusal
from proxy.ledger.commands import Settled
from proxy.ledger.rows import Call, Caller, Outcome
from proxy.ledger.store import LedgerUnavailable
from proxy.metering.tokens import COUNTER
from proxy.pricing.charge import Charge
from tests.call.fakes import CHUNKS, FULL_NANO, NOW_US, SECRET, WHOLE, Asked, Sent, Stage, Upstreams, until
from tests.ledger.memory import MemoryStore

LARGE = json.dumps(
    {
        "padding": "x" * 3_000_000,
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
).encode()
WORDS = ("un", "believ", "able", "ly", " ", "long", " words,", " once", " again ", "\ud55c", "\uad6d\uc5b4")
LARGE_PIECES = [LARGE[:1_500_000], LARGE[1_500_000:]]


class Twisted:
    """Another object with some of its members replaced."""

    def __init__(self, inner: object, **members: object) -> None:
        self._inner = inner
        self._members = members

    def __getattr__(self, name: str) -> Any:
        return self._members[name] if name in self._members else getattr(self._inner, name)


def broken(error: Exception) -> Callable[..., Any]:
    """A function that raises this."""

    def raises(*args: object, **named: object) -> Any:
        raise error

    return raises


def twisting(twist: Callable[[Ask], Twisted]) -> type[Admission]:
    """An admission that reads requests as the real one, and then twists what was read."""

    class Twisting(Admission):
        async def route(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
            routed = await super().route(request, caller, catalog)
            return msgspec.structs.replace(routed, ask=cast("Ask", twist(routed.ask)))

    return Twisting


def with_tally(twist: Callable[[Tally], Twisted]) -> type[Admission]:
    """An admission whose calls have a twisted tally."""

    def tally(ask: Ask, *, keep_usage: bool) -> Twisted:
        return twist(ask.tally(keep_usage=keep_usage))

    return twisting(lambda ask: Twisted(ask, tally=partial(tally, ask)))


class Broken:
    """An observer that fails at everything."""

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        raise RuntimeError("the disk of the logs is full")

    def exceeded(self, call: Call, hold_nano: int, settled: Settled) -> None:
        raise RuntimeError("the disk of the logs is full")

    def fault(self, task: str, error: BaseException) -> None:
        raise RuntimeError("the disk of the logs is full")


async def test_an_observer_that_fails_keeps_no_call_from_ending() -> None:
    """Figures and logs come after the ledger: whatever they do, a call is charged and answered."""
    for bound in (5, 1):  # With 1 the upstream reports more than the ceiling.
        stage, sent = Stage(Upstreams(CHUNKS), observer=Broken()), Sent()
        await stage.relay.relay(Asked(stream=True, max_tokens=bound), sent)
        await stage.rest()
        assert sent.ended
        assert [row.charged_nano for row in stage.rows()] == [FULL_NANO]


async def test_a_fault_that_cannot_be_told_still_closes_the_hold() -> None:
    """Nor does an observer that cannot be told of a fault keep the hold of the faulty call open."""
    faulty = with_tally(lambda tally: Twisted(tally, feed=broken(TypeError("no"))))
    stage = Stage(Upstreams(CHUNKS), observer=Broken(), admission=faulty)
    with pytest.raises(Refusal) as caught:
        await stage.relay.relay(Asked(stream=True), Sent())
    await stage.rest()
    assert caught.value.code == "internal_error"
    assert [row.outcome.outcome for row in stage.rows()] == ["internal_error"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("admission", "error"),
    [
        (with_tally(lambda tally: Twisted(tally, feed=broken(TypeError("no")))), TypeError),
        (with_tally(lambda tally: Twisted(tally, finish=broken(KeyError("no")))), KeyError),
        (twisting(lambda ask: Twisted(ask, forward_body=broken(ZeroDivisionError("no")))), ZeroDivisionError),
        (twisting(lambda ask: Twisted(ask, tally=broken(ValueError("no")))), ValueError),
    ],
    ids=["feed", "finish", "outgoing", "tally"],
)
async def test_a_fault_of_ours_costs_nothing(
    admission: type[Admission], error: type[Exception], stream: bool
) -> None:
    """The client hears of an internal error, the operator of the fault itself, and nothing is charged."""
    upstreams = Upstreams(CHUNKS if stream else WHOLE)
    stage, sent = Stage(upstreams, admission=admission), Sent()
    request = stage.relay.relay(Asked(stream), sent)
    if stream and error is KeyError:
        # Most of the stream has gone out by then, so that it is broken off instead.
        await request
        assert b'"internal_error"' in sent.data
    else:
        with pytest.raises(Refusal) as caught:
            await request
        assert caught.value.code == "internal_error"
        assert sent.data == b""
    await stage.rest()
    assert not sent.ended
    assert [(row.outcome.outcome, row.charged_nano) for row in stage.rows()] == [("internal_error", 0)]
    assert [(task, type(fault)) for task, fault in stage.heard.faults] == [("call req_1", error)]
    assert all(answer.closed for answer in upstreams.answers)


@pytest.mark.parametrize("step", [*range(40), 80, 160, 320, 640, 1_280])
async def test_a_cancel_around_a_large_body_that_had_come(step: int) -> None:
    """A body that is read in a thread is charged in full wherever the client leaves once it is answered."""
    upstreams = Upstreams(LARGE_PIECES)
    stage = Stage(upstreams)
    task = asyncio.ensure_future(stage.relay.relay(Asked(stream=False), Sent()))
    for _ in range(step):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.rest()
    assert stage.heard.faults == []
    charged = [row.charged_nano for row in stage.rows()]
    assert charged == [FULL_NANO] if upstreams.answers else sum(charged) == 0


@pytest.mark.parametrize("member", ["feed", "finish"])
async def test_a_cancel_while_a_thread_reads_a_large_body(member: str) -> None:
    """The thread is waited for: the answer is read once, and charged in full."""
    begun, go, on_loop = threading.Event(), threading.Event(), list[bool]()

    def slow(tally: Tally, *args: bytes) -> Any:
        on_loop.append(threading.current_thread() is threading.main_thread())
        begun.set()
        assert go.wait(10)
        return getattr(tally, member)(*args)

    admission = with_tally(lambda tally: Twisted(tally, **{member: partial(slow, tally)}))
    stage = Stage(Upstreams([LARGE]), admission=admission)
    task = asyncio.ensure_future(stage.relay.relay(Asked(stream=False), Sent()))
    await until(begun.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    await stage.rest()
    assert not on_loop[0]
    rows = stage.rows()
    assert [(row.outcome.outcome, row.charged_nano) for row in rows] == [("client_left", FULL_NANO)]


class Unreadable(MemoryStore):
    """A store whose disk cannot be read."""

    async def caller_by_digest(self, digest: str) -> Caller | None:
        raise LedgerUnavailable("the disk is gone")


async def test_a_store_that_cannot_tell_keys_is_a_503() -> None:
    """Without the ledger nobody is let in: the client hears `ledger_unavailable`, no upstream is asked."""
    upstreams, refused = Upstreams(WHOLE), list[str]()
    stage = Stage(upstreams, store=Unreadable())
    edge = Edge(clock=stage.clock, payment_status=lambda: 402, on_refusal=refused.append)
    gateway = Gateway(relay=stage.relay, bounds=Bounds(10_000, 5.0, 5.0))
    app = web.Application(middlewares=[edge.middleware()])
    app.router.add_post("/v1/chat/completions", gateway.handle)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert (answer.status, answer.headers["x-should-retry"]) == (503, "true")
        assert (await answer.json())["error"]["code"] == "ledger_unavailable"
    await stage.rest()
    assert (refused, upstreams.answers, stage.rows(), gateway.in_flight) == (
        ["ledger_unavailable"],
        [],
        [],
        0,
    )


async def test_the_watch_survives_a_stream_whose_tally_fails() -> None:
    """One bad stream is told as a fault; the others are observed all the same, and both end as usual."""
    end = asyncio.Event()
    tallies = iter([{"output_text": broken(TypeError("no"))}, {}])
    admission = with_tally(lambda tally: Twisted(tally, **next(tallies)))
    stage = Stage(Upstreams(CHUNKS[:2], end=end, breaks=True), admission=admission)
    names = ("req_bad", "req_good")
    first = asyncio.ensure_future(stage.relay.relay(Asked(True, names[0]), Sent()))
    await until(lambda: bool(stage.store.books.holds))
    second = asyncio.ensure_future(stage.relay.relay(Asked(True, names[1]), Sent()))
    watch = asyncio.ensure_future(stage.closing.watch(lambda: 0.0))

    def observed() -> bool:
        good = stage.store.books.holds.get("req_good")
        return good is not None and good.observed is not None and bool(stage.heard.faults)

    await until(observed)
    assert not watch.done()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    end.set()
    await asyncio.gather(first, second)
    await stage.rest()
    assert {task for task, _ in stage.heard.faults} == {"checkpoint req_bad", "price req_bad"}
    rows = {row.call.id: row for row in stage.rows()}
    assert (rows["req_bad"].outcome.outcome, rows["req_bad"].charged_nano) == ("internal_error", 0)
    assert rows["req_good"].outcome.outcome == "upstream_failed"
    assert rows["req_good"].charged_nano > 0


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_a_drain_that_is_cut_short_closes_the_hold(turns: int) -> None:
    """A process that ends does not wait for a stream whose client has left: what has come is charged."""
    upstreams = Upstreams(CHUNKS[:2], end=asyncio.Event())
    stage = Stage(upstreams, Policy(on_disconnect="drain", drain_seconds=60))
    sent = Sent()
    task = asyncio.ensure_future(stage.relay.relay(Asked(stream=True), sent))
    await until(lambda: b"there" in sent.data)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert await stage.tasks.drain(0) == 1
    await stage.rest()
    rows = stage.rows()
    assert [(row.outcome.outcome, row.outcome.basis) for row in rows] == [("client_left", "counted")]
    assert rows[0].charged_nano > 0
    assert upstreams.answers[0].closed


async def test_what_is_observed_of_two_choices_is_their_full_count() -> None:
    """Choices that come in turns are counted as whole texts each time."""
    stage = Stage(Upstreams(CHUNKS))
    inbound = Asked(True, n=2)
    routed = await stage.admission.route(inbound, await stage.admission.identify(inbound), stage.catalog)
    call = Call("req_1", "acct_1", "key_1", "chat.completions", "m", "up", "m", True, NOW_US)
    admitted = await stage.admission.authorize(inbound, call, routed, stage.catalog)
    in_flight = InFlightCall(admitted, stage.catalog.policy, stage.clock)
    in_flight.begin(OutputBudget(), keep_usage=False)
    texts = ["", ""]
    for turn, word in enumerate(WORDS):
        texts[turn % 2] += word
        delta = {"index": turn % 2, "delta": {"content": word}}
        in_flight.tally.feed(b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n")
        observed = await in_flight.observed()
        assert observed["output_tokens"] == await COUNTER.count_off_loop("".join(texts), "m")
    await stage.closing.fail(in_flight, ConnectionResetError())
    await stage.rest()
