"""Telling of events: each is routed to the endpoints that want it, and each endpoint has a queue of its own.

One process of all does it, the one that has the lease. Two that did would tell some of it twice, as one does
that dies between an answer and its note: receivers know a repeat by its id. All that has to be known is in
the database, so that the next process goes on where the last one was.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from proxy.billing.account_webhooks import LABEL, AccountQueues
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent
from proxy.ledger.events import DeliveryState
from proxy.ledger.ledger import Ledger
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.windows import DAY_US, iso
from proxy.tasks import Tasks
from proxy.upstream.webhooks import OK, Endpoint, Message, Sender, Webhooks, matches

LEASE: Final = "webhooks"
LEASE_SECONDS: Final = 20.0
ROUND_SECONDS: Final = 1.0
"""How often it looks for new events, and for deliveries that are due."""
PAGE: Final = 100
OWN_PAGE: Final = 8
"""How many messages a receiver of an account is told before it is another one's turn."""
AT_ONCE: Final = 4
"""How many messages an endpoint is sent beside one another."""
FIRST_WAIT_US: Final = 5_000_000
WAIT_FACTOR: Final = 3
LONGEST_WAIT_US: Final = 12 * 3_600_000_000
JITTER: Final = 0.2
"""A wait is longer or shorter by up to this part of it."""
GONE: Final = 410
OBSERVE_ROUNDS: Final = 15
"""Once in so many rounds what waits is counted."""
COUNTED: Final = 100_000
"""How many deliveries to an endpoint are counted at most."""
FORGET_ROUNDS: Final = 600
"""Once in so many rounds what is old is deleted."""


class Due(msgspec.Struct, frozen=True):
    """A delivery that is due, with its event."""

    account_id: str
    event_id: str
    attempts: int
    type: str
    at_us: int
    data: str


class DeliveryObserver(Protocol):
    """What is told how telling goes."""

    def told(self, endpoint: str, state: DeliveryState) -> None:
        """An attempt has left a delivery in a state."""
        ...

    def waiting(self, endpoint: str, count: int, oldest_seconds: float) -> None:
        """So many deliveries to an endpoint are pending, the oldest event among them for so long."""
        ...


class Deliveries:
    """Routes events and sends them. `webhooks` are the settings in force.

    `on_fault` is told of a fault of ours, which ends neither it nor other queues.
    """

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        sender: Sender,
        clock: Clock,
        webhooks: Callable[[], Webhooks],
        on_fault: Callable[[str, BaseException], None],
        observer: DeliveryObserver,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._tasks = Tasks(on_fault)
        self._webhooks = webhooks
        self._on_fault = on_fault
        self._observer = observer
        self._observed: set[str] = set()
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._queues: dict[str, asyncio.Task[None]] = {}
        self._own = AccountQueues(
            store=store, clock=clock, webhooks=webhooks, tasks=self._tasks, tell=self._tell_own
        )
        self._rounds = 0

    async def run(self) -> None:
        """Route and send, again and again until cancelled."""
        try:
            await repeat(
                self.round,
                name=LEASE,
                every_seconds=ROUND_SECONDS,
                on_fault=self._on_fault,
                sleep=self._sleep,
            )
        finally:
            await self._tasks.drain(0)

    async def round(self) -> None:
        """Route what is new, and see to it that each queue is worked on, if this is the process that does."""
        if not self._store.alerts.records or not await self._lead.taken():
            self._observe_nothing()
            return
        await self.route()
        for endpoint in self._webhooks().endpoints.values():
            queue = self._queues.get(endpoint.name)
            if queue is None or queue.done():
                self._queues[endpoint.name] = self._tasks.spawn(self._work_on(endpoint), name="webhooks")
        await self._own.round()
        if self._rounds % OBSERVE_ROUNDS == 0:
            await self._observe()
        if self._rounds % FORGET_ROUNDS == 0:
            await self.forget()
        self._rounds += 1

    async def route(self) -> None:
        """Make deliveries of new events, a page at a time."""
        endpoints = tuple(self._webhooks().endpoints.values())
        while rows := await self._store.query("events_new", {"limit": PAGE}):
            now_us = self._clock.now_us()
            commands = []
            own = {id_: await self._own.of(id_) for id_ in {str(row["account_id"]) for row in rows}}
            for row in rows:
                type_, account_id = str(row["type"]), str(row["account_id"])
                names = tuple(each.name for each in endpoints if each.wants(type_, account_id))
                names += tuple(each.id for each in own[account_id] if matches(type_, each.types))
                commands.append(self._ledger.command(RouteEvent(account_id, str(row["id"]), names, now_us)))
            await _all(commands)
            if len(rows) < PAGE or not await self._lead.taken():
                break

    async def send_due(self, endpoint: Endpoint, limit: int = PAGE) -> int:
        """Send what is due to an endpoint, up to a page, and note what came of it; how much that was."""
        due = {"endpoint": endpoint.name, "now_us": self._clock.now_us(), "limit": limit}
        rows = await self._store.query("deliveries_due", due)
        free = asyncio.Semaphore(AT_ONCE)

        async def told(row: Row) -> None:
            async with free:
                await self._tell(endpoint, msgspec.convert(row, Due))

        await _all(map(told, rows))
        return len(rows)

    async def forget(self) -> None:
        """Delete events that are older than they are kept, until those are left that have to wait."""
        webhooks = self._webhooks()
        before_us = self._clock.now_us() - webhooks.keep_days * DAY_US
        names = tuple(webhooks.endpoints)
        last: list[Row] = []
        while rows := await self._store.query("events_old", {"before_us": before_us, "limit": PAGE}):
            if rows == last or not await self._lead.taken():
                break
            own = {id_: tuple(each.id for each in await self._own.of(id_)) for id_ in _by_account(rows)}
            await _all(
                self._ledger.command(ForgetEvents(id_, event_ids, names + own[id_], before_us))
                for id_, event_ids in _by_account(rows).items()
            )
            last = rows

    async def _observe(self) -> None:
        """Tell how much waits for each endpoint. No more is counted than an operator can act on."""
        reads = {name: ("deliveries_waiting", {"endpoint": name}) for name in self._webhooks().endpoints}
        if self._webhooks().accounts_secret:
            reads[LABEL] = ("receivers_waiting", {})
        for name, (read, params) in reads.items():
            (waiting,) = await self._store.query(read, {**params, "limit": COUNTED})
            oldest_us = waiting["oldest_us"]
            age_us = 0 if oldest_us is None else self._clock.now_us() - int(str(oldest_us))
            self._observer.waiting(name, int(str(waiting["waiting"])), max(0, age_us) / 1_000_000)
        self._observed.update(reads)

    def _observe_nothing(self) -> None:
        """What waits is told by the process that sends, and by no other any more."""
        while self._observed:
            self._observer.waiting(self._observed.pop(), 0, 0.0)

    async def _tell_own(self, endpoint: Endpoint) -> None:
        """Tell a receiver of an account a few messages; others come in between."""
        with suppress(LedgerUnavailable, Refusal):
            await self.send_due(endpoint, OWN_PAGE)

    async def _work_on(self, endpoint: Endpoint) -> None:
        """Send until nothing is due."""
        with suppress(LedgerUnavailable, Refusal):
            while await self.send_due(endpoint) == PAGE and await self._lead.taken():
                continue

    async def _tell(self, endpoint: Endpoint, due: Due) -> None:
        webhooks, sent_at_us = self._webhooks(), self._clock.now_us()
        message = Message(due.event_id, body_of(due.type, due.at_us, due.data), sent_at_us)
        sent = await self._sender.send(endpoint, message, webhooks)
        attempt, at_us = due.attempts + 1, self._clock.now_us()
        state: DeliveryState = "pending"
        if sent.status in OK:
            state = "delivered"
        elif sent.status == GONE or attempt >= webhooks.attempts:
            state = "dead"
        next_at_us = at_us + (wait_us(due.event_id, attempt) if state == "pending" else 0)
        note = NoteDelivery(
            *(due.account_id, due.event_id, endpoint.name, due.attempts, state, at_us, next_at_us),
            status=sent.status,
            reason=sent.reason,
        )
        try:
            await self._ledger.command(note)
            self._observer.told(endpoint.name if endpoint.name in webhooks.endpoints else LABEL, state)
        except Refusal as refused:
            # It is told again meanwhile, or was by somebody else, whose note stands.
            if refused.code not in ("conflict", "not_found"):
                raise


async def _all(doing: Iterable[Awaitable[object]]) -> None:
    """Wait for all of it, and raise the first fault only then."""
    for result in await asyncio.gather(*doing, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def body_of(type_: str, at_us: int, data: str) -> str:
    """What an endpoint is sent of an event, the same each time."""
    members = {"type": type_, "timestamp": iso(at_us), "data": msgspec.Raw(data.encode())}
    return msgspec.json.encode(members).decode()


def wait_us(event_id: str, attempt: int) -> int:
    """How long to wait after an attempt. It differs from event to event, so that they do not come at once."""
    longest = min(FIRST_WAIT_US * WAIT_FACTOR ** (attempt - 1), LONGEST_WAIT_US)
    roll = hashlib.sha256(f"{event_id} {attempt}".encode()).digest()[0] / 255
    return int(longest * (1 - JITTER + 2 * JITTER * roll))


def _by_account(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(str(row["account_id"]), []).append(str(row["id"]))
    return {account_id: tuple(ids) for account_id, ids in found.items()}
