"""A cancel at any await closes the hold exactly once, and charges what the charge table says."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from proxy.admission import Admission, Catalog, Policy, digest_of
from proxy.closing import Closing
from proxy.errors import Refusal
from proxy.ledger.ledger import Ledger
from proxy.ledger.model import UNLIMITED, Call, CreateKey, Grant, OpenAccount, Outcome
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.charge import Charge
from proxy.pricing.rates import Rate, RateCard
from proxy.relay import Relay
from proxy.tasks import Tasks
from proxy.upstream.base import Shipment, UpstreamFailure
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.ledger.memory import MemoryStore

NOW_US = 1_790_000_000_000_000
SECRET = "sk-fbx-test"
GRANT_NANO = 1_000_000_000
CHUNKS = [
    b'data: {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": " there"}, "finish_reason": "stop"}]}\n\n',
    b'data: {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}\n\n',
    b"data: [DONE]\n\n",
]
WHOLE = [
    b'{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], ',
    b'"usage": {"prompt_tokens": 10, "completion_tokens": 5}}',
]
FULL_NANO = 10 * 1_000 + 5 * 2_000
STEPS = 60
"""More than any call here has awaits: the last ones are cancelled after the end, which changes nothing."""


class Hands:
    """A clock whose hands stand still."""

    def now_us(self) -> int:
        return NOW_US

    def monotonic_us(self) -> int:
        return 0


class Answered:
    """An answer that comes in pieces, each after the loop has turned."""

    def __init__(self, pieces: list[bytes], status: int, *, breaks: bool) -> None:
        self.status = status
        self.headers = [("Content-Type", "text/event-stream")]
        self.closed = 0
        self._pieces = pieces.copy()
        self._breaks = breaks

    def chunks(self) -> "Answered":
        return self

    def __aiter__(self) -> "Answered":
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self._pieces:
            if self._breaks:
                raise UpstreamFailure("upstream_failed", "It broke off.")
            raise StopAsyncIteration
        return self._pieces.pop(0)

    def close(self) -> None:
        self.closed += 1


class Upstreams:
    """One scripted upstream that remembers its answers."""

    def __init__(self, pieces: list[bytes], status: int, *, breaks: bool) -> None:
        self.answers: list[Answered] = []
        self._make = partial(Answered, pieces, status, breaks=breaks)

    async def send(self, target: Target, shipment: Shipment) -> Answered:
        await asyncio.sleep(0)
        answer = self._make()
        self.answers.append(answer)
        return answer


class Asked:
    """A request whose body takes a turn of the loop to arrive."""

    def __init__(self, stream: bool) -> None:
        self.id = "req_1"
        self.method = "POST"
        self.path = "/v1/chat/completions"
        self.query = ""
        self.headers: tuple[tuple[str, str], ...] = ()
        self.secret: str | None = SECRET
        self.wants_cost = False
        self._stream = stream

    async def body(self) -> bytes:
        await asyncio.sleep(0)
        return json.dumps(
            {"model": "m", "stream": self._stream, "messages": [{"role": "user", "content": "Hi"}]}
        ).encode()


class Sent:
    """A client that takes everything, each piece after a turn of the loop."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    @property
    def started(self) -> bool:
        return bool(self.data)

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.status = status

    def add_headers(self, headers: dict[str, str]) -> None:
        """Nothing here reads headers."""

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.data += data

    async def end(self, data: bytes = b"") -> None:
        await asyncio.sleep(0)
        self.data += data
        self.ended = True

    async def break_off(self, refusal: Refusal) -> None:
        self.data += refusal.body("req_1")


class Heard:
    """Remembers how calls ended."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        self.outcomes.append(outcome)

    def fault(self, task: str, error: BaseException) -> None:
        raise error


def catalog(policy: Policy) -> Catalog:
    rates = (
        Rate("input_tokens", parse_amount("1.00"), 1_000_000),
        Rate("output_tokens", parse_amount("2.00"), 1_000_000),
    )
    book = PriceBook([RateCard("card", ("*",), rates, 100)])
    target = Target(Upstream("up", "http://up"))
    route = Route("chat", (target,), models=("*",), endpoints=("chat.completions",))
    return Catalog(Routes([route]), book, UNLIMITED, policy)


async def cancelled_at(
    step: int, stream: bool, policy: Policy, upstreams: Upstreams | None = None
) -> tuple[MemoryStore, Heard, Sent, Upstreams]:
    """Run one call and cancel its task after `step` turns of the loop; wait until all has come to rest."""
    faults: list[BaseException] = []
    tasks = Tasks(lambda _, error: faults.append(error))
    committers = Tasks(lambda _, error: faults.append(error))
    store, clock, heard, sent = MemoryStore(), Hands(), Heard(), Sent()
    upstreams = upstreams or Upstreams(CHUNKS if stream else WHOLE, 200, breaks=False)
    store.commit(
        [
            OpenAccount("acct_1", "test", NOW_US),
            Grant("acct_1", "g", "lot_1", GRANT_NANO, NOW_US),
            CreateKey("acct_1", "key_1", "k", digest_of(SECRET), "test", NOW_US),
        ]
    )
    ledger = Ledger(store, committers)
    ledger.start()
    relay = Relay(
        catalog=catalog(policy),
        admission=Admission(ledger=ledger, store=store, clock=clock),
        closing=Closing(ledger=ledger, clock=clock, tasks=tasks, witness=heard),
        upstreams=upstreams,
        clock=clock,
    )
    task = asyncio.ensure_future(relay.relay(Asked(stream), sent))
    for _ in range(step):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await tasks.drain(5)
    await ledger.close()
    assert faults == []
    return store, heard, sent, upstreams


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("on_disconnect", ["count", "drain"])
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_cancel_at_any_await_closes_the_hold_once(
    step: int, on_disconnect: Any, stream: bool
) -> None:
    """No hold stays open, none is closed twice, and the money says what the receipt says."""
    policy = Policy(on_disconnect=on_disconnect)
    store, heard, sent, upstreams = await cancelled_at(step, stream, policy)
    account = store.books.accounts["acct_1"]
    assert account.held_nano == 0
    assert account.open_holds == 0
    assert store.books.keys["key_1"].open_holds == 0
    assert all(hold.state != "open" for hold in store.books.holds.values())
    rows = store.books.new_usage
    assert len(rows) == len(store.books.holds) <= 1
    assert len(heard.outcomes) <= 1
    assert account.balance_nano == GRANT_NANO - sum(row.charged_nano for row in rows)
    assert all(answer.closed for answer in upstreams.answers)
    if sent.ended:
        assert rows[0].charged_nano == FULL_NANO
    if rows and rows[0].outcome.outcome == "complete":
        assert rows[0].charged_nano == FULL_NANO
    if rows and on_disconnect == "drain" and rows[0].outcome.first_byte_at_us:
        assert rows[0].charged_nano == FULL_NANO


@pytest.mark.parametrize(
    ("pieces", "status", "breaks", "stream"),
    [(CHUNKS[:2], 200, True, True), (WHOLE[:1], 200, True, False), ([b"{}"], 500, False, False)],
    ids=["a stream that breaks off", "a body that breaks off", "an error"],
)
@pytest.mark.parametrize("step", range(STEPS))
async def test_a_cancel_while_a_call_fails_closes_the_hold_once(
    step: int, pieces: list[bytes], status: int, breaks: bool, stream: bool
) -> None:
    """Nor does a client that leaves while its call is failing anyway leave a hold behind."""
    failing = Upstreams(pieces, status, breaks=breaks)
    store, heard, _, _ = await cancelled_at(step, stream, Policy(), failing)
    account = store.books.accounts["acct_1"]
    assert (account.held_nano, account.open_holds) == (0, 0)
    assert all(hold.state != "open" for hold in store.books.holds.values())
    rows = store.books.new_usage
    assert len(rows) == len(store.books.holds) <= 1
    assert len(heard.outcomes) <= 1
    assert account.balance_nano == GRANT_NANO - sum(row.charged_nano for row in rows)
    if not stream:
        assert account.balance_nano == GRANT_NANO


async def test_the_steps_reach_every_part_of_a_call() -> None:
    """Among the cancels above some hit before the hold, some while it is open, and some after the end."""
    endings = set()
    for step in range(STEPS):
        store, _, sent, _ = await cancelled_at(step, True, Policy())
        rows = store.books.new_usage
        endings.add((rows[0].outcome.outcome if rows else "no hold", sent.ended))
    assert endings >= {("no hold", False), ("client_left", False), ("complete", False), ("complete", True)}
