"""Sessions are held for piece by piece, end by themselves, and never run for longer than is held for."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.billing.session_rounds import SessionRounds
from proxy.billing.sessions import Sessions
from proxy.endpoints.event_plan import EventPlan, EventPolicy, SessionPlan
from proxy.endpoints.sources import Source
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits
from proxy.ledger.sessions import Session, latest, seen_of, session_of
from proxy.ledger.windows import DAY_US, iso
from proxy.money import to_nano
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from tests.api.apis import ADMIN_KEY, NOON_US, ApiConfig, Apis, serving

SECOND_US = 1_000_000
NANO = 1_000_000
"""What a second costs; a minute at least, and whole tens."""
STEPS = (Step("least", str(60 * SECOND_US)), Step("block", str(10 * SECOND_US)))
CARD = RateCard("browsers", (), (Rate("run_seconds", Fraction(NANO), SECOND_US, STEPS),))


def source(name: str) -> Source:
    return Source("request", f"/properties/{name}", ("properties", name))


def config(*, charges_idle: bool = True) -> ApiConfig:
    """Held for 300 seconds at a time, idle after 120, at most an hour."""
    times = (300 * SECOND_US, 120 * SECOND_US, 3_600 * SECOND_US)
    plan = SessionPlan(source("session"), source("state"), source("key"), *times, charges_idle)
    types = {"browser": EventPlan("browser", "browsers", from_keys=True, session=plan)}
    groups = Groups(Limits(), {"vip": Group("vip", Limits(), run_share="0.5")}, run_share="0.2")
    policy = EventPolicy(types, 3 * DAY_US, 60 * SECOND_US)
    return ApiConfig(events=policy, book=PriceBook([CARD], multipliers={"vip": "0.5"}), groups=groups)


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = config()
        yield running


class Browser:
    """A session of a new account with so many US dollars, told of by the operator or by its key."""

    def __init__(self, apis: Apis, account_id: str, key_id: str, secret: str) -> None:
        self.apis, self.account_id, self.key_id, self.secret = apis, account_id, key_id, secret

    async def tell(self, state: str, *, by_key: bool = False, **fields: object) -> dict[str, Any]:
        """An event at the moment that it is by the clock, or as `timestamp` says."""
        self.apis.made += 1
        event: dict[str, Any] = {"id": f"e{self.apis.made}", "type": "browser", "account": self.account_id}
        event |= {"timestamp": iso(self.apis.clock.at_us), **fields}
        event |= {"properties": {"session": "b1", "state": state, "key": self.key_id}}
        headers = {"Content-Type": "application/json"}
        key = self.secret if by_key else ADMIN_KEY
        return (await self.apis.ask("POST", "/v1/billing/events", key=key, body=event, headers=headers)).data[
            0
        ]

    async def balance(self) -> tuple[int, int]:
        """What is left, and what is held."""
        body = (await self.apis.admin("GET", f"/accounts/{self.account_id}")).body
        return to_nano(body["balance"]), to_nano(body["held"])

    async def receipt(self, id_: str) -> tuple[str, int, int]:
        """How it ended, how long it lasted in seconds, and what it was charged."""
        body = (await self.apis.admin("GET", f"/receipts/{id_}")).body
        return body["outcome"], body["usage"]["run_seconds"] // SECOND_US, to_nano(body["charged"])


async def browser(apis: Apis, usd: str, **fields: Any) -> Browser:
    account_id = await apis.account(**fields)
    await apis.grant(account_id, usd)
    return Browser(apis, account_id, *(await apis.key(account_id)))


async def look(apis: Apis, at_us: int) -> None:
    """A round at a moment."""
    apis.clock.at_us = at_us
    seams: Any = {"store": apis.store, "clock": apis.clock, "terms": lambda: apis.settings}
    faults: list[str] = []
    sessions = Sessions(ledger=apis.ledger, **seams)
    rounds = SessionRounds(sessions=sessions, on_fault=lambda _, fault: faults.append(str(fault)), **seams)
    await rounds.round()
    assert faults == []


def after(seconds: int) -> int:
    return NOON_US + seconds * SECOND_US


async def test_a_session_is_held_for_piece_by_piece_and_charged_as_it_closes(apis: Apis) -> None:
    """Blocks that have begun are billed, and a minute at least; a repeat of anything changes nothing."""
    one = await browser(apis, "10")
    opened = await one.tell("open", id="o")
    assert (opened["status"], opened["charged"], opened["funded_until"]) == (
        "charged",
        "0.00",
        iso(after(300)),
    )
    assert await one.balance() == (10**10, 300 * NANO)
    assert (await one.tell("open", id="o"))["status"] == "duplicate"
    assert (await one.tell("open", id="x"))["error"]["code"] == "idempotency_conflict"
    apis.clock.at_us = after(100)
    beat = await one.tell("beat", by_key=True)
    assert (beat["receipt_id"], beat["funded_until"]) == (opened["receipt_id"], iso(after(400)))
    assert (await one.tell("beat"))["status"] == "duplicate"
    assert await one.balance() == (10**10, 400 * NANO)
    apis.clock.at_us = after(121)
    closed = await one.tell("close")
    assert (closed["charged"], closed["receipt_id"]) == ("0.13", opened["receipt_id"])
    assert (await one.tell("close"))["status"] == "duplicate"
    assert (await one.tell("beat"))["error"]["code"] == "conflict"
    assert await one.receipt(opened["receipt_id"]) == ("complete", 121, 130 * NANO)
    assert await one.balance() == (10**10 - 130 * NANO, 0)


async def test_a_short_session_is_charged_the_least_time(apis: Apis) -> None:
    one = await browser(apis, "10", group="vip")
    opened = await one.tell("open", run_id="trip")
    closed = await one.tell("close")
    assert (closed["charged"], closed["run_cost"]) == ("0.045", "0.045")
    assert (await one.receipt(opened["receipt_id"]))[2] == 45 * NANO


@pytest.mark.parametrize(("charges_idle", "seconds"), [(True, 220), (False, 100)])
async def test_a_session_that_is_not_heard_of_ends(apis: Apis, charges_idle: bool, seconds: int) -> None:
    """Two minutes after it was heard of last; the time after that is charged or not."""
    apis.settings = config(charges_idle=charges_idle)
    one = await browser(apis, "10")
    opened = await one.tell("open")
    apis.clock.at_us = after(100)
    await one.tell("beat")
    await look(apis, after(219))
    assert (await one.balance())[1] > 0
    await look(apis, after(250))
    assert await one.receipt(opened["receipt_id"]) == ("session_idle", seconds, seconds * NANO)
    assert (await one.tell("beat"))["error"]["message"].endswith("idle.")


async def test_no_more_runs_than_is_held_for(apis: Apis) -> None:
    """As long as there is money more is held; when that is gone, the session ends with what it pays for."""
    one = await browser(apis, "0.45")
    opened = await one.tell("open")
    for seconds in (100, 200):
        apis.clock.at_us = after(seconds)
        told = await one.tell("beat")
    assert told["funded_until"] == iso(after(400))
    for seconds in (290, 390, 396):
        await look(apis, after(seconds))
        told = await one.tell("beat")
    assert told["funded_until"] == iso(after(400))
    await look(apis, after(401))
    assert await one.receipt(opened["receipt_id"]) == ("session_funds", 400, 400 * NANO)
    assert await one.balance() == (50 * NANO, 0)


async def test_a_session_that_is_due_is_over_whoever_sees_it_first(apis: Apis) -> None:
    """No beat brings back what was idle, and a late close is charged no more than that."""
    idle, late = await browser(apis, "10"), await browser(apis, "10")
    opened = [await each.tell("open") for each in (idle, late)]
    apis.clock.at_us = after(200)
    assert (await idle.tell("beat"))["error"]["code"] == "conflict"
    assert (await late.tell("close"))["charged"] == "0.12"
    assert await idle.receipt(opened[0]["receipt_id"]) == ("session_idle", 120, 120 * NANO)
    assert await late.receipt(opened[1]["receipt_id"]) == ("complete", 120, 120 * NANO)


def test_of_two_that_hear_of_a_session_at_once_none_takes_anything_back() -> None:
    """What was heard last and held for longest stays, and an end is for good."""
    early = Session("b1", "digest", 0, 10, 400, 900, 120)
    late = Session("b1", "digest", 0, 100, 300, 900, 120)
    both = replace(late, funded_us=400)
    for one, other in ((early, late), (late, early)):
        assert session_of(latest(seen_of(one), seen_of(other))) == both
    ended = replace(early, ended_us=50, reason="closed")
    assert session_of(latest(seen_of(ended), seen_of(late))) == ended
    assert session_of(latest(seen_of(early), seen_of(ended))) == ended


async def test_more_is_held_before_what_is_held_is_used_up(apis: Apis) -> None:
    """Also by a round, so that a session that is heard of now and then goes on, until it has to end."""
    one = await browser(apis, "10")
    opened = await one.tell("open")
    for seconds in range(100, 3_600, 100):
        apis.clock.at_us = after(seconds)
        await one.tell("beat")
        await look(apis, after(seconds + 95))
    assert (await one.balance())[1] == 3_600 * NANO
    await look(apis, after(3_601))
    assert await one.receipt(opened["receipt_id"]) == ("session_longest", 3_600, 3_600 * NANO)


async def test_what_cannot_be_paid_or_is_nobodys_is_not_opened(apis: Apis) -> None:
    """Nothing is held for it, and no session is there."""
    poor, one = await browser(apis, "0.29"), await browser(apis, "10")
    assert (await poor.tell("open"))["error"]["code"] == "request_exceeds_balance"
    assert (await poor.tell("beat"))["error"]["code"] == "not_found"
    one.key_id = poor.key_id
    assert (await one.tell("open"))["error"]["code"] == "invalid_api_key"
    one.key_id = ""
    assert (await one.tell("open"))["error"]["param"] == "/properties/key"
    assert (await one.tell("reopen"))["error"]["param"] == "/properties/state"
    assert await poor.balance() == (290 * NANO, 0)
    assert await one.balance() == (10**10, 0)


async def test_a_session_ends_as_it_had_to_however_late_that_is_seen(apis: Apis) -> None:
    """Also where nobody was there to see it; who starts then takes it for no call without a process."""
    one = await browser(apis, "10")
    opened = await one.tell("open")
    apis.clock.at_us = after(100)
    await one.tell("beat")
    assert await apis.ledger.recover(NOON_US + DAY_US) == []
    await look(apis, NOON_US + DAY_US)
    assert await one.receipt(opened["receipt_id"]) == ("session_idle", 220, 220 * NANO)
    assert (await one.tell("close"))["error"]["code"] == "conflict"
