"""Telling of events: routed once, tried until it is heard or given up, each endpoint by itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.billing.expiries import ExpiryRounds
from proxy.billing.webhooks import FIRST_WAIT_US, LONGEST_WAIT_US, PAGE, Deliveries, body_of, wait_us
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.commands import Grant, OpenAccount
from proxy.ledger.ledger import Ledger
from proxy.ledger.windows import DAY_US
from proxy.storage.sqlite.store import SqliteStore
from proxy.tasks import Tasks
from proxy.upstream.webhooks import Endpoint, Message, Sent, Webhooks
from tests.api.apis import NOON_US, Hands

ACCOUNT = "acct_1"


@dataclass
class Receivers:
    """Endpoints that answer as they are told, and remember what they were sent."""

    statuses: dict[str, int] = field(default_factory=dict)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)

    async def send(self, endpoint: Endpoint, message: Message, webhooks: Webhooks) -> Sent:
        self.sent.append((endpoint.name, message))
        if endpoint.name in self.blocked:
            await asyncio.Event().wait()
        status = self.statuses.get(endpoint.name, 200)
        return Sent(status, "" if status == 200 else f"it answered {status}")


@dataclass
class Observer:
    """Remembers what it is told of how it goes."""

    attempts: list[tuple[str, str]] = field(default_factory=list)
    waits: dict[str, tuple[int, float]] = field(default_factory=dict)

    def told(self, endpoint: str, state: str) -> None:
        self.attempts.append((endpoint, state))

    def waiting(self, endpoint: str, count: int, oldest_seconds: float) -> None:
        self.waits[endpoint] = (count, oldest_seconds)


@dataclass
class Desk:
    """A ledger with an account, and what tells of it."""

    store: SqliteStore
    ledger: Ledger
    clock: Hands
    receivers: Receivers
    webhooks: Webhooks
    faults: list[BaseException] = field(default_factory=list)
    made: int = 0
    seen: Observer = field(default_factory=Observer)

    def deliveries(self) -> Deliveries:
        return Deliveries(
            store=self.store,
            ledger=self.ledger,
            sender=self.receivers,
            clock=self.clock,
            webhooks=lambda: self.webhooks,
            on_fault=lambda _, fault: self.faults.append(fault),
            observer=self.seen,
        )

    async def grant(self, nano: int = 1, *, days: int = 400) -> None:
        self.made += 1
        now_us = self.clock.at_us
        ids = (ACCOUNT, f"grant_{self.made}", f"lot_{self.made}")
        await self.ledger.command(Grant(*ids, nano, now_us, expires_at_us=now_us + days * DAY_US))

    async def rows(self, endpoint: str = "crm") -> list[dict[str, object]]:
        """The deliveries to an endpoint in every state."""
        place = {"at_us": 2**60, "account_id": "", "event_id": "", "limit": 100}
        states = ("pending", "delivered", "dead")
        found = [
            await self.store.query("deliveries_page", {"endpoint": endpoint, "state": state, **place})
            for state in states
        ]
        return [row for rows in found for row in rows]

    @property
    def told(self) -> list[str]:
        return [name for name, _ in self.receivers.sent]


def endpoints(*names: str) -> dict[str, Endpoint]:
    return {name: Endpoint(name, f"https://{name}.example", "whsec_x") for name in names}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = SqliteStore(tmp_path / "farebox.db")
    store.alerts = Alerts()

    def fail(name: str, error: BaseException) -> None:
        raise error

    ledger = Ledger(store, Tasks(fail))
    await store.open()
    ledger.start()
    await ledger.command(OpenAccount(ACCOUNT, "Ada", NOON_US))
    yield Desk(store, ledger, Hands(), Receivers(), Webhooks(endpoints("crm", "erp")))
    await ledger.close()
    await store.close()


async def test_an_event_is_told_to_each_endpoint_that_wants_it_once(desk: Desk) -> None:
    wanted = Endpoint("some", "https://x.example", "whsec_x", ("balance.*",))
    desk.webhooks = Webhooks({**endpoints("crm", "erp"), "some": wanted})
    await desk.grant()
    for _ in range(3):
        deliveries = desk.deliveries()
        await deliveries.route()
        for endpoint in desk.webhooks.endpoints.values():
            await deliveries.send_due(endpoint)
    assert sorted(desk.told) == ["crm", "erp"]
    (row,) = await desk.rows()
    assert (row["state"], row["attempts"], row["status"], row["reason"]) == ("delivered", 1, 200, "")


async def test_what_fails_is_tried_again_ever_later_with_the_same_id_and_body(desk: Desk) -> None:
    desk.receivers.statuses["crm"] = 500
    desk.webhooks = Webhooks(endpoints("crm"), attempts=4)
    await desk.grant()
    deliveries, endpoint, waits = desk.deliveries(), desk.webhooks.endpoints["crm"], []
    await deliveries.route()
    for _ in range(4):
        assert await deliveries.send_due(endpoint) == 1
        assert await deliveries.send_due(endpoint) == 0
        (row,) = await desk.rows()
        waits.append(int(str(row["next_at_us"])) - desk.clock.at_us)
        desk.clock.at_us += max(0, waits[-1])
    assert await deliveries.send_due(endpoint) == 0
    assert (row["state"], row["attempts"], row["reason"]) == ("dead", 4, "it answered 500")
    assert waits[:3] == sorted(waits[:3])
    assert len({(message.id, message.body) for _, message in desk.receivers.sent}) == 1
    assert len({message.sent_at_us for _, message in desk.receivers.sent}) == 4


async def test_one_that_is_gone_is_given_up_at_once(desk: Desk) -> None:
    desk.receivers.statuses["crm"] = 410
    await desk.grant()
    deliveries = desk.deliveries()
    await deliveries.route()
    await deliveries.send_due(desk.webhooks.endpoints["crm"])
    (row,) = await desk.rows()
    assert (row["state"], row["attempts"]) == ("dead", 1)


async def test_an_endpoint_that_hangs_delays_no_other(desk: Desk) -> None:
    desk.receivers.blocked.add("crm")
    deliveries = desk.deliveries()
    for _ in range(8):
        await desk.grant()
        await deliveries.round()
        for _ in range(100):
            await asyncio.sleep(0.002)
            if all(row["state"] == "delivered" for row in await desk.rows("erp")):
                break
    states = [row["state"] for row in await desk.rows("erp")]
    assert states == ["delivered"] * 8
    assert {row["state"] for row in await desk.rows("crm")} == {"pending"}
    await deliveries._tasks.drain(0)


async def test_another_process_goes_on_where_one_died_between_answer_and_note(desk: Desk) -> None:
    """The receiver hears of it twice, by the same id."""
    await desk.grant()
    first = desk.deliveries()
    await first.route()
    desk.receivers.blocked.add("crm")
    task = asyncio.ensure_future(first.send_due(desk.webhooks.endpoints["crm"]))
    await asyncio.sleep(0.05)
    task.cancel()
    desk.receivers.blocked.clear()
    await desk.deliveries().send_due(desk.webhooks.endpoints["crm"])
    assert len({message.id for _, message in desk.receivers.sent}) == 1
    (row,) = await desk.rows()
    assert (row["state"], row["attempts"]) == ("delivered", 1)


async def test_old_events_go_with_their_deliveries_once_nobody_waits_for_them(desk: Desk) -> None:
    desk.receivers.statuses["erp"] = 500
    desk.webhooks = Webhooks(endpoints("crm", "erp"), keep_days=32, attempts=2)
    deliveries = desk.deliveries()
    await desk.grant()
    await deliveries.route()
    for endpoint in desk.webhooks.endpoints.values():
        await deliveries.send_due(endpoint)
    desk.clock.at_us += 33 * DAY_US
    await deliveries.forget()
    assert len(await desk.rows("erp")) == 1
    await deliveries.send_due(desk.webhooks.endpoints["erp"])
    await deliveries.forget()
    assert await desk.rows("erp") == await desk.rows("crm") == []
    assert await desk.store.query("events_old", {"before_us": 2**60, "limit": 9}) == []


async def test_old_events_go_however_many_there_are(desk: Desk) -> None:
    desk.webhooks = Webhooks(keep_days=32)
    deliveries = desk.deliveries()
    for _ in range(PAGE + 5):
        await desk.grant()
    await deliveries.route()
    desk.clock.at_us += 33 * DAY_US
    await desk.grant()
    await deliveries.forget()
    left = await desk.store.query("events_old", {"before_us": 2**60, "limit": 9})
    assert len(left) == 1


async def test_a_credit_that_expires_soon_is_told_once_and_a_short_one_never(desk: Desk) -> None:
    await desk.grant(5, days=30)
    await desk.grant(6, days=3)

    async def told(days: int) -> int:
        """How many are told so many days after noon, by a process that has not looked before."""
        desk.clock.at_us = NOON_US + days * DAY_US
        rounds = ExpiryRounds(
            store=desk.store,
            ledger=desk.ledger,
            clock=desk.clock,
            days=lambda: 7,
            on_fault=lambda _, fault: desk.faults.append(fault),
        )
        await rounds.round()
        await rounds.round()
        params = {"account_id": ACCOUNT, "type": "credits.expiring", "after": "", "limit": 9}
        return len(await desk.store.query("events_of_account", params))

    assert [await told(days) for days in (0, 22, 23, 24, 40)] == [0, 0, 1, 1, 1]
    assert desk.faults == []


def test_waits_grow_to_half_a_day_and_differ_from_event_to_event() -> None:
    waits = [wait_us("evt_1", attempt) for attempt in range(1, 16)]
    assert 0.8 * FIRST_WAIT_US <= waits[0] <= 1.2 * FIRST_WAIT_US
    assert 0.8 * LONGEST_WAIT_US <= waits[-1] <= 1.2 * LONGEST_WAIT_US
    assert len({wait_us(f"evt_{number}", 3) for number in range(50)}) > 10
    assert sum(waits) > 2 * DAY_US


def test_the_body_is_that_of_the_standard() -> None:
    body = body_of("balance.low", NOON_US, '{"account_id":"acct_1"}')
    assert body == '{"type":"balance.low","timestamp":"2024-10-04T12:00:00Z","data":{"account_id":"acct_1"}}'


async def test_what_waits_is_told_by_the_process_that_sends_and_attempts_by_their_end(desk: Desk) -> None:
    desk.receivers.statuses["crm"] = 500
    desk.webhooks = Webhooks(endpoints("crm"), attempts=2)
    await desk.grant()
    desk.clock.at_us += 3_000_000
    await desk.grant()
    deliveries = desk.deliveries()
    await deliveries.route()
    await deliveries.send_due(desk.webhooks.endpoints["crm"])
    desk.clock.at_us += 4_000_000
    await deliveries.round()
    await deliveries._tasks.drain(1)
    assert desk.seen.waits == {"crm": (2, 7.0)}
    desk.clock.at_us += DAY_US
    await deliveries.send_due(desk.webhooks.endpoints["crm"])
    assert desk.seen.attempts == [("crm", "pending")] * 2 + [("crm", "dead")] * 2
    desk.store.alerts = SILENT
    await deliveries.round()
    assert desk.seen.waits == {"crm": (0, 0.0)}
