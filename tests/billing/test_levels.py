"""What is there over time is charged by the period, each piece at its price, however long nobody could."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from proxy.billing.level_rounds import LevelRounds
from proxy.billing.levels import LevelCharges
from proxy.endpoints.event_plan import EventPlan, EventPolicy, LevelPlan
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Parameter
from proxy.ledger.groups import Group, Groups
from proxy.ledger.level_rows import HOUR_US, TOLD_MAX, UNIT
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US, iso
from proxy.money import to_nano
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Rate
from tests.api.apis import ADMIN_KEY, NOON_US, ApiConfig, Apis, serving

MIDNIGHT_US = NOON_US // DAY_US * DAY_US
NANO = 720_000
VIPS = Groups(Limits(), {"vip": Group("vip")})


def card(nano: int) -> RateCard:
    """So many nano-USD for a GiB and an hour."""
    return RateCard("volumes", (), (Rate("gib_hours", Fraction(nano), UNIT),))


def source(name: str) -> Source:
    return Source("request", f"/properties/{name}", ("properties", name))


def plan(when_short: Any) -> EventPlan:
    level = LevelPlan(
        *("gib_hours", source("volume"), source("gib"), 10**9, Failure(source("state"), "deleted")),
        *("day", HOUR_US, when_short),
    )
    return EventPlan("volume", "volumes", (), (Parameter("class", source("class")),), level=level)


def config(when_short: Any = "owe", changes: Any = ()) -> ApiConfig:
    cold = Case((("class", "cold"),), card(NANO // 4))
    priced = RateCard("volumes", (), card(NANO).rates, cases=(cold,), changes=changes)
    policy = EventPolicy({"volume": plan(when_short)}, 40 * DAY_US, 60_000_000)
    return ApiConfig(events=policy, book=PriceBook([priced], multipliers={"vip": "0.5"}), groups=VIPS)


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = config()
        yield running


async def tell(apis: Apis, account_id: str, at_us: int, gib: object, **properties: object) -> dict[str, Any]:
    apis.made += 1
    event = {"id": f"e{apis.made}", "type": "volume", "account": account_id, "timestamp": iso(at_us)}
    whole = event | {"properties": {"volume": "v1", "gib": gib, **properties}}
    headers = {"Content-Type": "application/json"}
    answer = await apis.ask("POST", "/v1/billing/events", key=ADMIN_KEY, body=whole, headers=headers)
    return answer.data[0]


async def charge(apis: Apis, at_us: int) -> list[str]:
    """A round at a moment, by a process that has just begun. What it was told of as faults."""
    faults: list[str] = []
    apis.clock.at_us = at_us
    seams: Any = {"store": apis.store, "clock": apis.clock}
    levels = LevelCharges(ledger=apis.ledger, terms=lambda: apis.settings, **seams)
    rounds = LevelRounds(levels=levels, on_fault=lambda _, fault: faults.append(str(fault)), **seams)
    await rounds.round()
    return faults


async def charges(apis: Apis, account_id: str) -> list[tuple[str, str, int, int]]:
    """From when until when, how many millionths of a GiB for an hour, and what they were charged."""
    rows = (await apis.admin("GET", f"/receipts?account_id={account_id}&limit=100")).data
    made = [(row["metadata"], row["usage"]["gib_hours"], row) for row in rows if row["usage"]]
    return sorted((of["from"], of["until"], hours, to_nano(row["charged"])) for of, hours, row in made)


async def test_each_day_is_charged_once_and_all_that_were_missed_as_well(apis: Apis) -> None:
    """12.5 GiB from noon on, 2 from the next noon, found three days later; then a round has nothing to do."""
    account_id = await apis.account()
    await apis.grant(account_id, "10")
    assert (await tell(apis, account_id, NOON_US, "12.5"))["charged"] == "0.00"
    apis.clock.at_us += DAY_US
    await tell(apis, account_id, NOON_US + DAY_US, 2)
    assert await charge(apis, MIDNIGHT_US + 3 * DAY_US + HOUR_US - 1) == []
    days = [iso(MIDNIGHT_US + day * DAY_US) for day in range(5)]
    first = (iso(NOON_US), days[1], 150 * UNIT, 150 * NANO)
    second = (days[1], days[2], 174 * UNIT, 174 * NANO)
    assert await charges(apis, account_id) == [first, second]
    for _ in range(2):
        assert await charge(apis, MIDNIGHT_US + 3 * DAY_US + HOUR_US) == []
        third = (days[2], days[3], 48 * UNIT, 48 * NANO)
        assert await charges(apis, account_id) == [first, second, third]
    late = await tell(apis, account_id, MIDNIGHT_US + 2 * DAY_US, 1)
    assert (late["status"], late["error"]["code"]) == ("rejected", "invalid_value")
    assert days[3] in late["error"]["message"]


async def test_a_price_change_divides_what_it_falls_into(apis: Apis) -> None:
    """And so does what a price depends on; each piece has the version that was in force in it."""
    account_id = await apis.account(group="vip")
    six_us = MIDNIGHT_US + DAY_US + 6 * HOUR_US
    apis.settings = config(changes=((six_us, card(2 * NANO)),))
    await tell(apis, account_id, NOON_US, 1)
    await charge(apis, MIDNIGHT_US + DAY_US + HOUR_US)
    apis.clock.at_us = MIDNIGHT_US + 2 * DAY_US
    await tell(apis, account_id, MIDNIGHT_US + DAY_US + 18 * HOUR_US, 1, **{"class": "b"})
    await charge(apis, MIDNIGHT_US + 2 * DAY_US + HOUR_US)
    found = await charges(apis, account_id)
    assert [(hours // UNIT, nano) for *_, hours, nano in found] == [
        *((12, 6 * NANO), (6, 3 * NANO), (12, 12 * NANO), (6, 6 * NANO)),
    ]
    rows = (await apis.admin("GET", f"/receipts?account_id={account_id}")).data
    assert len({row["price_id"] for row in rows if row["usage"]}) == 2
    usage = (await apis.admin("GET", f"/usage?account_id={account_id}&group_by=model")).data
    assert [to_nano(row["charged"]) for row in usage] == [sum(nano for *_, nano in found)]


async def test_what_is_deleted_ends_and_costs_no_more(apis: Apis) -> None:
    account_id = await apis.account()
    await tell(apis, account_id, NOON_US, 4, **{"class": "cold"})
    apis.clock.at_us += HOUR_US
    await tell(apis, account_id, NOON_US + HOUR_US, None, state="Deleted")
    for day in (1, 2, 3):
        await charge(apis, MIDNIGHT_US + day * DAY_US + HOUR_US)
    assert [each[2:] for each in await charges(apis, account_id)] == [(4 * UNIT, NANO)]
    (shown,) = (await apis.admin("GET", f"/accounts/{account_id}/levels")).data
    assert (shown["state"], shown["level"]) == ("ended", "0.00")
    assert shown["charged_until"] == iso(MIDNIGHT_US + DAY_US)


@pytest.mark.parametrize(("when_short", "charged", "state"), [("owe", 36, "used"), ("stop", 10, "stopped")])
async def test_what_nobody_can_pay_for_is_owed_or_stops(
    apis: Apis, when_short: str, charged: int, state: str
) -> None:
    """What funds do not cover is debt, or it is let go and ends: the next day costs nothing."""
    apis.settings = config(when_short)
    account_id = await apis.account()
    await apis.grant(account_id, "0.0072")
    await tell(apis, account_id, NOON_US, 1)
    for day in (1, 2):
        await charge(apis, MIDNIGHT_US + day * DAY_US + HOUR_US)
    assert sum(nano for *_, nano in await charges(apis, account_id)) == charged * NANO
    (shown,) = (await apis.admin("GET", f"/accounts/{account_id}/levels")).data
    assert shown["state"] == state


async def test_a_thing_that_changes_all_the_time_is_charged_in_between(apis: Apis) -> None:
    """So that no more of it is kept than can be; nothing of it is lost."""
    account_id, minutes = await apis.account(), 720
    apis.clock.at_us = NOON_US + 11 * HOUR_US
    for number in range(TOLD_MAX + 5):
        told = await tell(apis, account_id, NOON_US + number * 60_000_000, 1 + number % 2)
        assert told["status"] == "charged", told
    await charge(apis, MIDNIGHT_US + DAY_US + HOUR_US)
    found = await charges(apis, account_id)
    minutes += (TOLD_MAX + 4) // 2
    assert len(found) == 2
    assert sum(hours for *_, hours, _ in found) == minutes * UNIT // 60


async def test_what_cannot_be_priced_is_told_of_and_charged_once_it_can(apis: Apis) -> None:
    account_id = await apis.account()
    await tell(apis, account_id, NOON_US, 1)
    narrow = RateCard("volumes", (), card(NANO).rates, groups=("none",))
    apis.settings = ApiConfig(events=apis.settings.events, book=PriceBook([narrow]))
    (fault,) = await charge(apis, MIDNIGHT_US + DAY_US + HOUR_US)
    assert "prices no volume" in fault
    apis.settings = config()
    assert await charge(apis, MIDNIGHT_US + DAY_US + HOUR_US) == []
    assert [each[2] for each in await charges(apis, account_id)] == [12 * UNIT]


@pytest.mark.parametrize(
    ("properties", "param"),
    [({"volume": ""}, "volume"), ({"gib": -1}, "gib"), ({"gib": 1_001}, "gib"), ({"gib": None}, "gib")],
)
async def test_a_level_that_cannot_be_is_rejected(
    apis: Apis, properties: dict[str, object], param: str
) -> None:
    account_id = await apis.account()
    told = await tell(apis, account_id, NOON_US, **{"gib": 1, **properties})
    assert (told["error"]["code"], told["error"]["param"]) == ("invalid_value", f"/properties/{param}")
    assert (await apis.admin("GET", f"/accounts/{account_id}/levels")).data == []


async def test_an_account_sees_what_it_uses_and_nobody_elses(apis: Apis) -> None:
    """By pages, in the order of their names."""
    account_id, other = await apis.account(), await apis.account()
    (_, secret), (_, elsewhere) = await apis.key(account_id), await apis.key(other)
    for name in ("a", "b\n", "c"):
        await tell(apis, account_id, NOON_US, "0.5", volume=name)
    shown = await apis.ask("GET", "/v1/billing/levels?limit=2", key=secret)
    after = await apis.ask("GET", f"/v1/billing/levels?cursor={shown.body['next_cursor']}", key=secret)
    assert [row["thing"] for row in (*shown.data, *after.data)] == ["a", "b\n", "c"]
    assert shown.data[0] == {
        "object": "level",
        "account_id": account_id,
        "type": "volume",
        "thing": "a",
        "state": "used",
        "level": "0.50",
        "began_at": iso(NOON_US),
        "charged_until": None,
        "told": [{"at": iso(NOON_US), "level": "0.50"}],
    }
    assert (await apis.ask("GET", "/v1/billing/levels", key=elsewhere)).data == []
