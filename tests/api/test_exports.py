"""Receipts and usage as CSV: all of them, in pages of the database, and nothing that a spreadsheet runs."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.api.csv_export import ROWS_AT_ONCE, harmless
from proxy.ledger.windows import DAY_US
from tests.api.apis import NOON_US, Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def table(apis: Apis, path: str, secret: str, **headers: str) -> list[dict[str, str]]:
    assert apis.client is not None
    sent = {"Authorization": f"Bearer {secret}", **headers}
    async with apis.client.get(path, headers=sent) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["x-request-id"]
        return list(csv.DictReader(io.StringIO(await response.text())))


async def test_all_receipts_are_in_the_table_the_newest_first(apis: Apis) -> None:
    """More than one read of them."""
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    made = [await apis.call(account_id, key_id, 1_000) for _ in range(ROWS_AT_ONCE + 3)]
    rows = await table(apis, "/v1/billing/receipts?format=csv&limit=1", secret)
    assert [row["id"] for row in rows] == made[::-1]
    assert (rows[0]["charged_usd"], rows[0]["input_tokens"], rows[0]["seconds"]) == (
        "0.000001",
        "11",
        "0.000005",
    )
    assert await table(apis, "/v1/billing/receipts?model=none", secret, Accept="text/csv") == []


async def test_usage_is_a_table_too(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    for day, model in ((-40, "=cmd|' /C calc'!A0"), (0, "demo"), (0, "demo")):
        apis.clock.at_us = NOON_US + day * DAY_US
        await apis.call(account_id, key_id, 1_000, model=model)
    path = "/v1/billing/usage?format=csv&start_date=2024-08-01&end_date=2024-10-04"
    assert [
        (row["group"], row["requests"], row["charged_usd"]) for row in await table(apis, path, secret)
    ] == [
        ("2024-08-25", "1", "0.000001"),
        ("2024-10-04", "2", "0.000002"),
    ]
    assert [row["group"] for row in await table(apis, f"{path}&group_by=month", secret)] == [
        "2024-08",
        "2024-10",
    ]
    models = {row["group"] for row in await table(apis, f"{path}&group_by=model", secret)}
    assert models == {"demo", "'=cmd|' /C calc'!A0"}


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "gpt-4", "1", 0, -1, None])
def test_what_is_no_formula_is_left_alone(cell: str | int | None) -> None:
    assert harmless(cell) == cell


async def test_json_is_what_is_answered_else(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, secret = await apis.key(account_id)
    await apis.grant(account_id, "1.00")
    await apis.call(account_id, key_id, 1_500)
    answer = await apis.ask("GET", "/v1/billing/usage?group_by=key", key=secret, headers={"Accept": "*/*"})
    assert answer.body["daily"] == [
        {"date": "2024-10-04", "requests": 1, "total_tokens": 18, "cost": 0.0000015}
    ]
    refused = await apis.ask("GET", "/v1/billing/usage?format=pdf", key=secret)
    assert (refused.status, refused.error["param"]) == (400, "format")
