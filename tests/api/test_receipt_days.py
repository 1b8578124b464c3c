"""Receipts by day: all of what was billed then, calls and usage from outside, each once, on every page."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from proxy.api.call_sums import CALL_PREFIX
from proxy.ids import new_id
from proxy.ledger.windows import DAY_US
from tests.api.apis import NOON_US, Apis, serving
from tests.api.test_events import CONFIG, event, send
from tests.api.test_exports import table

PATH = "/v1/billing/receipts"
DAYS = ("2024-10-04", "2024-10-05", "2024-10-06")


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = CONFIG
        yield running


async def billed(apis: Apis) -> tuple[str, dict[str, list[str]]]:
    """A key of an account that was billed for two calls and two events on each day; and the ids by day."""
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    ids: dict[str, list[str]] = {}
    for number, day in enumerate(DAYS):
        apis.clock.at_us = NOON_US + number * DAY_US
        named = [new_id(CALL_PREFIX, apis.clock.at_us) for _ in range(2)]
        calls = [await apis.call(account_id, key_id, 1_000, call_id=id_) for id_ in named]
        told = [await send(apis, event(account_id, f"{day} {place}")) for place in range(2)]
        ids[day] = [*calls, *(answer.data[0]["receipt_id"] for answer in told)]
    return secret, ids


async def paged(apis: Apis, secret: str, limit: int, **days: str) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        query = urlencode({"limit": limit, **days, **cursor})
        page = await apis.ask("GET", f"{PATH}?{query}", key=secret)
        assert page.status == 200, page.body
        found += [row["id"] for row in page.data]
        if not page.body["has_more"]:
            return found
        cursor = {"cursor": page.body["next_cursor"]}


@pytest.mark.parametrize("start", [None, *DAYS])
@pytest.mark.parametrize("end", [None, *DAYS])
async def test_receipts_of_days_are_those_of_calls_and_of_usage_from_outside(
    apis: Apis, start: str | None, end: str | None
) -> None:
    """Both days are included; an event is of the day on which it was told."""
    secret, ids = await billed(apis)
    days = {name: day for name, day in (("start_date", start), ("end_date", end)) if day is not None}
    wanted = sorted(id_ for day in DAYS if (start or DAYS[0]) <= day <= (end or DAYS[-1]) for id_ in ids[day])
    for limit in (1, 3, 100):
        assert sorted(await paged(apis, secret, limit, **days)) == wanted
    rows = await table(apis, f"{PATH}?{urlencode({'format': 'csv', **days})}", secret)
    assert sorted(row["id"] for row in rows) == wanted


@pytest.mark.parametrize("name", ["start_date", "end_date"])
async def test_a_day_that_no_call_can_have_is_refused_by_its_name(apis: Apis, name: str) -> None:
    """Before 1970; the last day that there is has none after it, and is no fault."""
    _, secret = await apis.key(await apis.account())
    early = await apis.ask("GET", f"{PATH}?{name}=1969-12-31", key=secret)
    assert (early.status, early.body["error"]["param"]) == (400, name)
    late = await apis.ask("GET", f"{PATH}?{name}=9999-12-31", key=secret)
    assert (late.status, late.data) == (200, [])
