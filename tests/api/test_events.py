"""POST /v1/billing/events: each event is charged once or rejected by itself, within bounds."""

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.api.billing.events import KEYS_AT_ONCE
from proxy.endpoints.event_plan import EventPlan, EventPolicy
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Measure
from proxy.ledger.dues import Dues, Renewal
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US, iso
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.api.apis import ADMIN_KEY, NOON_US, Answer, ApiConfig, Apis, serving
from tests.api.test_runs import step

PATH = "/v1/billing/events"
CARD = RateCard("pages", (), (Rate("pages", Fraction(1_000_000), 1),))
PAGES = Source("request", "/properties/pages", ("properties", "pages"))
FAILED = Failure(Source("request", "/properties/error", ("properties", "error")))
POLICY = EventPolicy(
    {
        "scan": EventPlan("scan", "pages", (Measure("pages", PAGES, 500),), (), FAILED),
        "read": EventPlan("read", "pages", (Measure("pages", PAGES, 500, 2),), from_keys=True),
    },
    max_age_us=3 * DAY_US,
    max_ahead_us=60_000_000,
)
RUNS = Groups(Limits(), {"vip": Group("vip", run_share="0.5")}, run_share="0.2")
CONFIG = ApiConfig(events=POLICY, book=PriceBook([CARD], multipliers={"vip": "0.5"}), groups=RUNS)
WHEN = iso(NOON_US)


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = CONFIG
        yield running


def event(account_id: str, id_: str = "1", **members: Any) -> dict[str, Any]:
    fields = {"id": id_, "type": "scan", "account": account_id, "timestamp": WHEN}
    return {**fields, "properties": {"pages": 3}, **members}


async def send(apis: Apis, body: object, *, key: str | None = ADMIN_KEY, kind: str = "") -> Answer:
    headers = {"Content-Type": kind or "application/json"}
    return await apis.ask("POST", PATH, key=key, body=body, headers=headers)


async def test_an_event_is_charged_and_shown_by_its_receipt(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "1")
    answer = await send(apis, event(account_id))
    assert (answer.status, answer.body["charged"], answer.data[0]["charged"]) == (200, 1, "0.003")
    receipt = await apis.admin("GET", f"/receipts/{answer.data[0]['receipt_id']}")
    names = ("endpoint", "model", "key_id", "outcome", "basis", "price_id", "started_at", "usage", "hold")
    assert [receipt.body[name] for name in names] == [
        *("events", "scan", "", "complete", "reported", CARD.price_id, WHEN),
        {"requests": 1, "pages": 3},
        "0.00",
    ]


async def test_what_cannot_be_told_so_is_rejected_with_its_field_and_value(apis: Apis) -> None:
    """And the others of its batch are charged."""
    account_id = await apis.account()
    late, early = iso(NOON_US - 3 * DAY_US - 1_000_000), iso(NOON_US + 61_000_000)
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"id": ""}, "id", '""'),
        ({"id": "x" * 256}, "id", "xxx"),
        ({"type": "scam"}, "type", "did you mean 'scan'?"),
        ({"account": ""}, "account", "missing"),
        ({"timestamp": "today"}, "timestamp", '"today"'),
        ({"timestamp": "2024-10-04T12:00:00"}, "timestamp", "offset"),
        ({"timestamp": late}, "timestamp", late),
        ({"timestamp": early}, "timestamp", early),
        ({"properties": {}}, "/properties/pages", "missing"),
        ({"properties": {"pages": -1}}, "/properties/pages", "-1"),
        ({"properties": {"pages": True}}, "/properties/pages", "true"),
        ({"properties": {"pages": 501}}, "/properties/pages", "501"),
        ({"properties": {"pages": 1, "Pages": 1}}, "/properties/pages", "twice"),
        ({"properties": {"pages": [1]}}, "properties.pages", "[1]"),
        ({"properties": {f"p{n}": 1 for n in range(51)}}, "properties", "50"),
        ({"amount": 5}, "amount", "no such field"),
    ]
    events = [event(account_id, id_=f"e{place}") | each[0] for place, each in enumerate(wrong)]
    answer = await send(apis, {"events": [*events, event(account_id)]})
    assert (answer.body["rejected"], answer.body["charged"]) == (len(wrong), 1)
    for result, (_, param, said) in zip(answer.data, wrong, strict=False):
        assert (result["status"], result["error"]["param"]) == ("rejected", param), result
        assert said in result["error"]["message"]
    stranger = await send(apis, event("acct_nobody"))
    assert stranger.data[0]["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"events": []}, "", "invalid_value"),
        ({"events": [{}] * 101}, "", "invalid_value"),
        ({"events": [{}], "more": 1}, "", "invalid_value"),
        ({"events": 5}, "", "invalid_json"),
        (b"{", "", "invalid_json"),
        (b"[" * 1_000, "application/cloudevents-batch+json", "invalid_json"),
        ({}, "text/plain", "invalid_value"),
    ],
)
async def test_what_is_no_list_of_events_is_refused(apis: Apis, body: object, kind: str, code: str) -> None:
    assert (await send(apis, body, kind=kind)).error["code"] == code


@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_a_body_is_bounded(apis: Apis) -> None:
    assert (await send(apis, b" " * 1_048_577)).error["code"] == "body_too_large"


async def test_figures_are_exact_and_written_differently_they_are_another_event(apis: Apis) -> None:
    """No float comes in between; the text of a string may be escaped in any way."""
    account_id = await apis.account()
    text = (
        f'{{"id":"1","type":"scan","account":"{account_id}","timestamp":"{WHEN}",'
        '"properties":{"pages":%s,"x":"%s"}}'
    )
    statuses = [
        (await send(apis, (text % figures).encode())).data[0]["status"]
        for figures in (("3.0", "a"), ("3.0", "\\u0061"), ("3", "a"))
    ]
    assert statuses == ["charged", "duplicate", "rejected"]


async def test_a_cloud_event_needs_its_attributes_and_may_have_others(apis: Apis) -> None:
    account_id = await apis.account()
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "scan", "time": WHEN}
    cloud |= {"subject": account_id, "traceparent": "00-0-0-00"}
    kind = "application/cloudevents+json; charset=utf-8"
    told = await send(apis, cloud | {"data": {"pages": 3}}, kind=kind)
    assert told.data[0]["status"] == "charged"
    for wrong, param in (
        ({"specversion": "0.3"}, "specversion"),
        ({"source": ""}, "source"),
        ({"time": None}, "time"),
        ({"subject": ""}, "subject"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"data_base64": "e30="}, "data_base64"),
    ):
        rejected = (await send(apis, cloud | {"data": {"pages": 3}} | wrong, kind=kind)).data[0]
        assert (rejected["status"], rejected["error"]["param"]) == ("rejected", param)


async def test_a_failure_is_free_and_a_figure_that_is_not_told_may_be_assumed(apis: Apis) -> None:
    account_id = await apis.account()
    failed = event(account_id, "1", properties={"pages": 3, "error": "out of memory"})
    assumed = event(account_id, "2", type="read", properties={})
    answer = await send(apis, {"events": [failed, assumed]})
    assert [each["charged"] for each in answer.data] == ["0.00", "0.002"]


async def test_an_event_is_priced_for_its_accounts_group(apis: Apis) -> None:
    groups = CONFIG.groups
    groups.known["vip"] = groups.of("vip")
    account_id = await apis.account(group="vip")
    assert (await send(apis, event(account_id))).data[0]["charged"] == "0.0015"


async def test_an_event_has_the_price_and_the_day_of_when_it_happened(apis: Apis) -> None:
    """However late it is told, and whatever prices are by then; one that is a little ahead is of now."""
    dearer = RateCard("pages", (), (Rate("pages", Fraction(5_000_000), 1),))
    card = replace(CARD, changes=((NOON_US - DAY_US, dearer),))
    apis.settings = ApiConfig(events=POLICY, book=PriceBook([card]))
    account_id = await apis.account()
    times = [NOON_US - 2 * DAY_US, NOON_US - DAY_US, NOON_US + 30_000_000]
    events = [event(account_id, str(place), timestamp=iso(at_us)) for place, at_us in enumerate(times)]
    answer = await send(apis, {"events": events})
    assert [each["charged"] for each in answer.data] == ["0.003", "0.015", "0.015"]
    rows = (await apis.admin("GET", f"/usage?account_id={account_id}&start_date=2024-10-01")).data
    assert [(row["group"], row["charged"]) for row in rows] == [
        ("2024-10-02", "0.003"),
        ("2024-10-03", "0.015"),
        ("2024-10-04", "0.015"),
    ]


async def test_only_keys_that_may_send_events_of_their_own_account(apis: Apis) -> None:
    """Where no type is taken from keys, none gets further than its head."""
    account_id = await apis.account()
    await apis.grant(account_id, "1")
    key_id, secret = await apis.key(account_id)
    mine = event("", type="read")
    told = await send(
        apis, {"events": [mine, event(account_id, "2"), event("acct_other", "3", type="read")]}, key=secret
    )
    assert [each["status"] for each in told.data] == ["charged", "rejected", "rejected"]
    receipt = await apis.ask("GET", f"/v1/billing/receipts/{told.data[0]['receipt_id']}", key=secret)
    assert receipt.body["key_id"] == key_id
    apis.settings = ApiConfig(events=EventPolicy({"scan": POLICY.plans["scan"]}), book=CONFIG.book)
    denied = await send(apis, mine, key=secret)
    assert (denied.status, denied.error["code"]) == (403, "event_not_allowed")
    for key, code in ((None, "missing_api_key"), ("sk-fbx-nobody", "invalid_api_key")):
        assert (await send(apis, mine, key=key)).error["code"] == code


async def test_a_key_that_could_make_no_call_writes_nothing_down(apis: Apis) -> None:
    """What has happened there is told by the operator, whom neither suspension nor lack of funds stops."""
    poor, suspended = await apis.account(), await apis.account()
    limited = await apis.account()
    await apis.grant(suspended, "1")
    await apis.grant(limited, "1")
    _, of_poor = await apis.key(poor)
    _, of_suspended = await apis.key(suspended)
    _, of_limited = await apis.key(limited, limits={"day": "0.001"})
    _, of_account = await apis.key(limited)
    await apis.admin("PATCH", f"/accounts/{suspended}", {"status": "suspended"})
    mine = event("", type="read")
    assert (await send(apis, mine, key=of_limited)).data[0]["status"] == "charged"
    for secret, status, code in (
        (of_poor, 402, "credit_balance_exhausted"),
        (of_suspended, 402, "account_suspended"),
        (of_limited, 402, "key_limit_exceeded"),
    ):
        for body in (event("", "2", type="read"), b"{"):
            refused = await send(apis, body, key=secret)
            assert (refused.status, refused.error["code"]) == (status, code)
    for account_id in (poor, suspended):
        assert (await apis.admin("GET", f"/receipts?account_id={account_id}")).data == []
        assert (await send(apis, event(account_id))).data[0]["status"] == "charged"
    assert (await send(apis, event("", "2", type="read"), key=of_account)).data[0]["status"] == "charged"


async def test_slow_bodies_of_an_account_keep_no_other_out(apis: Apis) -> None:
    greedy, modest = await apis.account(), await apis.account()
    for account_id in (greedy, modest):
        await apis.grant(account_id, "1")
    (_, slow), (_, quick) = await apis.key(greedy), await apis.key(modest)
    begun, let_go = asyncio.Semaphore(0), asyncio.Event()

    async def withheld() -> AsyncIterator[bytes]:
        yield b"{"
        begun.release()
        await let_go.wait()

    assert apis.client is not None
    headers = {"Authorization": f"Bearer {slow}", "Content-Type": "application/json"}
    sent = [
        asyncio.ensure_future(apis.client.post(PATH, data=withheld(), headers=headers))
        for _ in range(KEYS_AT_ONCE + 1)
    ]
    for _ in sent:
        await begun.acquire()
    told = await send(apis, event("", type="read"), key=quick)
    let_go.set()
    for answer in await asyncio.gather(*sent):
        answer.release()
    assert told.data[0]["status"] == "charged"


async def test_events_of_a_run_are_billed_with_its_calls_and_one_markup(apis: Apis) -> None:
    """Calls and events of any form are steps of it; what an event costs without the run is not one."""
    account_id = await apis.account()
    await apis.grant(account_id, "1")
    key_id, secret = await apis.key(account_id)
    called = await step(apis, account_id, key_id, "trip", 1_000_000)
    plain = await send(apis, event(account_id, run_id="trip"))
    cloud: dict[str, Any] = {"specversion": "1.0", "id": "2", "source": "/s", "type": "scan", "time": WHEN}
    cloud |= {"subject": account_id, "runid": "trip", "data": {"pages": 4}}
    other = await send(apis, cloud, kind="application/cloudevents+json")
    alone = await send(apis, event(account_id, "3"))
    told = [answer.data[0] for answer in (plain, other, alone)]
    assert [each["charged"] for each in told] == ["0.0036", "0.0048", "0.003"]
    assert [each["run_cost"] for each in told] == ["0.0048", "0.0096", None]
    run = (await apis.ask("GET", "/v1/billing/runs/trip", key=secret)).body
    assert (run["subtotal"], run["markup"], run["total"]) == ("0.008", "0.0016", "0.0096")
    ids = {each["id"] for each in run["steps"]["data"]}
    assert ids == {told[1]["receipt_id"], told[0]["receipt_id"], called}
    receipt = (await apis.admin("GET", f"/receipts/{told[0]['receipt_id']}")).body
    assert (receipt["run_id"], receipt["lines"][-1]["meter"]) == ("trip", "run_markup")


async def test_a_run_of_a_group_has_its_markup_and_an_event_says_its_run_once(apis: Apis) -> None:
    """The run is part of what is told; without one all is as it was."""
    account_id = await apis.account(group="vip")
    first, again, moved, wrong = [
        (await send(apis, event(account_id, run_id=run))).data[0] for run in ("r", "r", "s", "-r\n")
    ]
    assert (first["charged"], first["run_cost"]) == ("0.00225", "0.00225")
    assert (again["status"], again["run_cost"]) == ("duplicate", None)
    assert moved["error"]["code"] == "idempotency_conflict"
    assert (wrong["error"]["code"], wrong["error"]["param"]) == ("invalid_value", "run_id")


async def test_what_is_due_for_an_account_comes_before_its_events(apis: Apis) -> None:
    """As before a call: nothing is owed that a renewal pays, and no key is turned away for it."""
    daily = Group("daily", dues=Dues(Renewal(10_000_000)))
    apis.settings = ApiConfig(events=POLICY, book=CONFIG.book, groups=Groups(Limits(), {"daily": daily}))
    told, keyed = [await apis.account(group="daily") for _ in range(2)]
    _, secret = await apis.key(keyed)
    apis.clock.at_us += DAY_US
    (result,) = (await send(apis, event(told))).data
    assert (result["charged"], result["owed"]) == ("0.003", "0.00")
    (result,) = (await send(apis, event("", type="read"), key=secret)).data
    assert (result["charged"], result["owed"]) == ("0.003", "0.00")
