"""Lists of events: of an account for its keys, of all for the administration."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ledger.alerts import Alerts
from tests.api.apis import Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.store.alerts = Alerts()
        yield running


async def granted(apis: Apis, account_id: str, amount: str) -> None:
    assert (await apis.admin("POST", f"/accounts/{account_id}/grants", {"amount": amount})).status == 201
    apis.clock.at_us += 1_000_000


async def test_an_account_sees_its_own_events_newest_first_in_pages(apis: Apis) -> None:
    mine, other = await apis.account(), await apis.account()
    secret = (await apis.key(mine))[1]
    for amount in ("1", "2", "3"):
        await granted(apis, mine, amount)
    await granted(apis, other, "9")
    first = await apis.ask("GET", "/v1/billing/notifications?type=credits.granted&limit=2", key=secret)
    assert [row["data"]["amount"] for row in first.data] == ["3.00", "2.00"]
    assert first.data[0]["timestamp"] == "2024-10-04T12:00:02Z"
    cursor = first.body["next_cursor"]
    rest = await apis.ask(
        "GET", f"/v1/billing/notifications?type=credits.granted&cursor={cursor}", key=secret
    )
    assert [row["data"]["amount"] for row in rest.data] == ["1.00"]
    none = await apis.ask("GET", "/v1/billing/notifications?type=balance.low", key=secret)
    assert none.data == []
    whole = await apis.ask("GET", "/v1/billing/notifications", key=secret)
    # The key was made in the instant of the first grant, so that either may come first.
    assert sorted(row["type"] for row in whole.data) == [*["credits.granted"] * 3, "key.created"]


async def test_the_administration_sees_all_of_them(apis: Apis) -> None:
    mine, other = await apis.account(), await apis.account()
    await granted(apis, mine, "1")
    await granted(apis, other, "9")
    everything = await apis.admin("GET", "/notifications?limit=1")
    assert [row["data"]["account_id"] for row in everything.data] == [other]
    rest = await apis.admin("GET", f"/notifications?cursor={everything.body['next_cursor']}")
    assert [row["data"]["account_id"] for row in rest.data] == [mine]
    of_one = await apis.admin("GET", f"/notifications?account_id={mine}&type=credits.granted")
    assert [row["id"] for row in of_one.data] == [rest.data[0]["id"]]


async def test_the_list_is_for_a_key_of_an_account(apis: Apis) -> None:
    assert (await apis.ask("GET", "/v1/billing/notifications", key=None)).status == 401
