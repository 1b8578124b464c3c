"""Usage of more groups than a page has: nothing is cut in silence, and the rows sum to the total."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.api.usage import MAX_GROUPS
from proxy.ledger.commands import Authorize, CreateKey, Grant, OpenAccount, Settle
from proxy.ledger.rows import Call, Outcome
from proxy.ledger.windows import DAY_US
from proxy.pricing.charge import Charge, Line
from tests.api.apis import ADMIN_KEY, Apis, serving
from tests.test_cli import farebox

SPENDERS = MAX_GROUPS + 203
COUNTS = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "total_tokens")


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def spend(apis: Apis, number: int, charge_nano: int) -> None:
    """An account with one key spends so much in one call, with a model of its own."""
    at_us, account_id, key_id = apis.clock.at_us, f"acct_{number:05}", f"key_{number:05}"
    await apis.ledger.command(OpenAccount(account_id, f"account {number}", at_us))
    key = CreateKey(account_id, key_id, "k", f"digest {number}", "hint", at_us)
    grant = Grant(account_id, "grant", f"lot_{number:05}", 10**9, at_us)
    await asyncio.gather(*map(apis.ledger.command, (key, grant)))
    ids = (f"call_{number:05}", account_id, key_id)
    call = Call(*ids, "chat", f"model-{number:05}", "up", "m", stream=False, started_at_us=at_us)
    owner = apis.store.owner
    await apis.ledger.authorize(Authorize(call, charge_nano, charge_nano, 0, at_us, owner))
    outcome = Outcome("complete", 200, "reported", {"input_tokens": 2, "output_tokens": 3}, at_us)
    line = Line("output_tokens", 3, str(charge_nano), 3, charge_nano)
    await apis.ledger.settle(Settle(call, at_us, at_us, outcome, Charge(charge_nano, (line,), "card@1")))


async def pages(apis: Apis, query: str) -> list[dict[str, Any]]:
    """Every page of a report."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await apis.admin("GET", f"/usage?{query}{cursor}")
        assert answer.status == 200, answer
        found.append(answer.body)
        if not answer.body["has_more"]:
            assert answer.body["next_cursor"] is None
            return found
        cursor = f"&cursor={answer.body['next_cursor']}"


def assert_adds_up(rows: list[dict[str, Any]], total: dict[str, Any]) -> None:
    assert sum(Decimal(row["charged"]) for row in rows) == Decimal(total["charged"])
    assert {name: sum(row[name] for row in rows) for name in COUNTS} == {name: total[name] for name in COUNTS}


async def test_a_month_end_of_more_spenders_than_a_page_has_is_whole(apis: Apis) -> None:
    """By account, by key and by model, over the API and on the command line."""
    await asyncio.gather(*(spend(apis, number, 1_000 + number % 7) for number in range(SPENDERS)))
    for group in ("account", "key", "model"):
        report = await pages(apis, f"group_by={group}")
        assert [len(page["data"]) for page in report] == [MAX_GROUPS, SPENDERS - MAX_GROUPS]
        rows = [row for page in report for row in page["data"]]
        assert len({row["group"] for row in rows}) == SPENDERS
        assert_adds_up(rows, report[0]["total"])
        assert report[0]["total"] == report[1]["total"]
    variables = {"FAREBOX_URL": apis.url, "FAREBOX_ADMIN_KEY": ADMIN_KEY}
    days = ("--start-date", str(report[0]["start_date"]), "--end-date", str(report[0]["end_date"]))
    told = (await farebox("usage", "--group-by", "model", *days, "--json", **variables)).json
    assert (told["data"], told["total"], told["has_more"]) == (rows, report[0]["total"], False)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("group_by", ["day", "model", "key", "account"])
async def test_pages_of_any_size_have_each_group_once_in_order(apis: Apis, group_by: str, limit: int) -> None:
    """Also groups that cost the same, where a page ends between them."""
    for number, charge_nano in enumerate([5_000, 9_000, 5_000, 5_000, 1_000, 9_000]):
        await spend(apis, number, charge_nano)
        apis.clock.at_us += DAY_US
    ((whole),) = await pages(apis, f"group_by={group_by}")
    parts = await pages(apis, f"group_by={group_by}&limit={limit}")
    assert [row for page in parts for row in page["data"]] == whole["data"]
    assert all(len(page["data"]) <= limit for page in parts)
    assert {str(page["total"]) for page in parts} == {str(whole["total"])}
    assert_adds_up(whole["data"], whole["total"])


@pytest.mark.parametrize("field", ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=e30", "cursor=Mg"])
async def test_a_page_that_there_cannot_be_is_refused(apis: Apis, field: str) -> None:
    answer = await apis.admin("GET", f"/usage?group_by=account&{field}")
    assert (answer.status, answer.error["code"]) == (400, "invalid_value")
    assert answer.error["param"] == field.partition("=")[0]
