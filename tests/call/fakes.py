"""What tests of the relay stand on: the real relay and ledger, between a scripted upstream and client."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from proxy.call.admission import Admission
from proxy.call.closing import CallObserver, Closing
from proxy.call.policy import Catalog, Policy
from proxy.call.relay import Relay
from proxy.clock import Clock
from proxy.endpoints.base import Endpoint
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.registry import ENDPOINTS, KINDS
from proxy.errors import Refusal
from proxy.ids import digest_of
from proxy.ledger.commands import CreateKey, Grant, OpenAccount, Settled
from proxy.ledger.groups import Groups
from proxy.ledger.ledger import PATIENCE_SECONDS, Ledger
from proxy.ledger.rows import Call, Outcome, Receipt
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.metering.model_names import encoding_name
from proxy.metering.vocabulary import SHARED
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Count, CounterKey, Period
from proxy.tasks import Tasks
from proxy.upstream.base import UpstreamClient, UpstreamFailure, UpstreamRequest
from proxy.upstream.denials import Denials
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


class Hands:
    """A clock whose hands stand still."""

    def now_us(self) -> int:
        return NOW_US

    def monotonic_us(self) -> int:
        return 0


class Answered:
    """An answer that comes in pieces, each after the loop has turned.

    When `end` is set, the pieces of `then` come, and it ends.
    """

    def __init__(
        self, pieces: list[bytes], status: int, *, breaks: bool, end: asyncio.Event | None, then: list[bytes]
    ) -> None:
        self.status = status
        self.headers = [("Content-Type", "text/event-stream")]
        self.closed = 0
        self.waits = False
        self._pieces = pieces.copy()
        self._breaks = breaks
        self._end = end
        self._then = then.copy()

    def chunks(self) -> "Answered":
        return self

    def __aiter__(self) -> "Answered":
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self._pieces:
            if self._end is not None:
                self.waits = True
                await self._end.wait()
            if self._then:
                return self._then.pop(0)
            if self._breaks:
                raise UpstreamFailure("upstream_failed", "It broke off.")
            raise StopAsyncIteration
        return self._pieces.pop(0)

    def close(self) -> None:
        self.closed += 1


class Upstreams:
    """One scripted upstream that remembers its answers."""

    def __init__(
        self,
        pieces: list[bytes],
        status: int = 200,
        *,
        breaks: bool = False,
        end: asyncio.Event | None = None,
        then: Sequence[bytes] = (),
    ) -> None:
        self.answers: list[Answered] = []
        self.requests: list[UpstreamRequest] = []
        self._make = partial(Answered, pieces, status, breaks=breaks, end=end, then=list(then))

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        await asyncio.sleep(0)
        self.requests.append(request)
        answer = self._make()
        self.answers.append(answer)
        return answer


class Asked:
    """A request whose body takes a turn of the loop to arrive."""

    path = "/v1/chat/completions"

    def __init__(self, stream: bool, id_: str = "req_1", **more: object) -> None:
        self.id = id_
        self.method = "POST"
        self.query = ""
        self.headers: tuple[tuple[str, str], ...] = ()
        self.secret: str | None = SECRET
        self.wants_cost = False
        self.run = ""
        self.facts: dict[str, str] = {}
        self._fields = {"model": "m", "stream": stream, **more}

    async def body_at_hand(self) -> bytes | None:
        return await self.body()

    async def body(self) -> bytes:
        await asyncio.sleep(0)
        return json.dumps({**self._fields, "messages": [{"role": "user", "content": "Hi"}]}).encode()


class Sent:
    """A client that takes everything, each piece after a turn of the loop."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.headers: dict[str, str] = {}

    @property
    def started(self) -> bool:
        return bool(self.data)

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        self.goes_on = goes_on

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.status = status

    def add_headers(self, headers: dict[str, str]) -> None:
        self.headers |= headers

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.data += data

    async def end(self, data: bytes = b"") -> None:
        await asyncio.sleep(0)
        self.data += data
        self.ended = True

    async def break_off(self, refusal: Refusal) -> None:
        self.data += refusal.body("req_1")


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until this holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


class Heard:
    """Remembers how calls ended, and what went wrong."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.charges: list[Charge] = []
        self.faults: list[tuple[str, BaseException]] = []
        self.excesses: list[tuple[Call, int, Settled]] = []

    def exceeded(self, call: Call, hold_nano: int, settled: Settled) -> None:
        self.excesses.append((call, hold_nano, settled))

    def ended(self, call: Call, outcome: Outcome, charge: Charge) -> None:
        self.outcomes.append(outcome)
        self.charges.append(charge)

    def fault(self, task: str, error: BaseException) -> None:
        self.faults.append((task, error))


RATES = (
    Rate("input_tokens", parse_amount("1.00"), 1_000_000),
    Rate("output_tokens", parse_amount("2.00"), 1_000_000),
)
"""1,000 nano-USD a token in and 2,000 out."""


def catalog(policy: Policy, rates: tuple[Rate, ...], endpoints: Mapping[str, Endpoint]) -> Catalog:
    """One upstream for every model of some endpoints, at these rates."""
    book = PriceBook([RateCard("card", ("*",), rates, 100)])
    target = Target(Upstream("up", "http://up"))
    names = tuple(endpoint.name for endpoint in endpoints.values())
    return Catalog(Routes([Route("all", (target,), models=("*",), endpoints=names)]), book, Groups(), policy)


class Stage:
    """A relay with all that is behind it. `admission` decides how calls are let in, as the real one.

    It serves `endpoints` at `rates` to an account that was granted `funds_nano`.
    """

    def __init__(
        self,
        upstreams: UpstreamClient,
        policy: Policy | None = None,
        *,
        observer: CallObserver | None = None,
        store: MemoryStore | None = None,
        admission: type[Admission] = Admission,
        endpoints: Mapping[str, Endpoint] = ENDPOINTS,
        rates: tuple[Rate, ...] = RATES,
        funds_nano: int = GRANT_NANO,
        denials: Denials | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Clock | None = None,
        kinds: Sequence[ObjectKind] = KINDS,
    ) -> None:
        SHARED.preload([encoding_name("m")])  # As at the start of a process: no call waits for it.
        self.faults: list[BaseException] = []
        self.tasks = Tasks(lambda _, error: self.faults.append(error))
        self._committers = Tasks(lambda _, error: self.faults.append(error))
        self.store, self.clock, self.heard = store or MemoryStore(), clock or Hands(), Heard()
        self.funds_nano = funds_nano
        self.catalog = catalog(policy or Policy(), rates, endpoints)
        self.store.commit(
            [
                OpenAccount("acct_1", "test", NOW_US),
                Grant("acct_1", "g", "lot_1", funds_nano, NOW_US),
                CreateKey("acct_1", "key_1", "k", digest_of(SECRET), "test", NOW_US),
            ]
        )
        self.ledger = Ledger(self.store, self._committers, patience_seconds=patience_seconds)
        self.admission = admission(
            ledger=self.ledger, store=self.store, clock=self.clock, endpoints=endpoints, kinds=kinds
        )
        self.closing = Closing(
            ledger=self.ledger, clock=self.clock, tasks=self.tasks, observer=observer or self.heard
        )
        self.relay = Relay(
            catalog=self.catalog,
            admission=self.admission,
            closing=self.closing,
            upstreams=upstreams,
            clock=self.clock,
            denials=denials,
        )
        self.ledger.start()

    async def counts(self, account_id: str) -> tuple[dict[CounterKey, Count], dict[Period, int]]:
        """What the account's counters have on the day of now."""
        first_days = dict(starts_of_day(self.clock.now_us() // DAY_US))
        rows = [row for row in self.store.books.counters.values() if row.account_id == account_id]
        found = {(row.name, row.window, row.start_day): Count(row.quantity, row.volume) for row in rows}
        return {key: count for key, count in found.items() if first_days[key[1]] == key[2]}, first_days

    async def rest(self) -> None:
        """Wait until all has come to rest; afterwards nothing can be called. Fails on any task's fault."""
        await self.tasks.drain(5)
        await self.ledger.close()
        assert self.faults == []

    def rows(self) -> list[Receipt]:
        """The receipts, once it is sure that no hold is open and the money agrees with them."""
        books = self.store.books
        account, rows = books.accounts["acct_1"], books.new_receipts
        assert (account.held_nano, account.open_holds) == (0, 0)
        assert books.keys["key_1"].open_holds == 0
        assert all(hold.state != "open" for hold in books.holds.values())
        assert len(rows) == len(books.holds)
        paid_nano = sum(row.charged_nano - row.owed_nano for row in rows)
        assert account.balance_nano == self.funds_nano - paid_nano
        assert account.owed_nano == sum(row.owed_nano for row in rows)
        return rows
