"""The admin API of webhooks: who is told, and what is sent again."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.ledger.alerts import Alerts
from proxy.upstream.webhooks import Endpoint, Webhooks
from tests.api.apis import Apis, serving

CRM = Endpoint("crm", "https://crm.example/hook?token=abc", "whsec_secret", ("credits.*",))


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.store.alerts = Alerts()
        running.settings = replace(running.settings, webhooks=Webhooks({"crm": CRM}))
        yield running


async def granted(apis: Apis, account_id: str) -> None:
    assert (await apis.admin("POST", f"/accounts/{account_id}/grants", {"amount": "1"})).status == 201
    apis.clock.at_us += 1_000_000


async def test_receivers_are_listed_without_their_secrets(apis: Apis) -> None:
    (row,) = (await apis.admin("GET", "/webhooks")).data
    assert row == {
        "object": "webhook",
        "name": "crm",
        "host": "crm.example",
        "types": ["credits.*"],
        "accounts": ["*"],
    }


async def test_all_events_since_a_time_are_sent_again_in_pages(apis: Apis) -> None:
    account_id = await apis.account()
    for _ in range(3):
        await granted(apis, account_id)
    since = {"since": "2024-10-04T12:00:01Z"}
    told = await apis.admin("POST", "/webhooks/crm/replay", since)
    assert (told.body["replayed"], told.body["has_more"]) == (2, False)
    first = await apis.admin("GET", "/webhooks/crm/deliveries?limit=1")
    rest = await apis.admin("GET", f"/webhooks/crm/deliveries?cursor={first.body['next_cursor']}")
    assert [row["state"] for row in first.data + rest.data] == ["pending", "pending"]
    event_id = first.data[0]["event_id"]
    shown = await apis.admin("GET", f"/accounts/{account_id}/notifications/{event_id}")
    assert (shown.body["type"], shown.body["deliveries"]) == ("credits.granted", first.data)


async def test_what_there_is_not_is_404_and_what_says_too_little_is_400(apis: Apis) -> None:
    account_id = await apis.account()
    for method, path, body, status in (
        ("GET", "/webhooks/none/deliveries", None, 404),
        ("POST", "/webhooks/none/test", None, 404),
        ("GET", f"/accounts/{account_id}/notifications/evt_none", None, 404),
        ("POST", "/webhooks/crm/replay", {"account_id": account_id, "event_id": "evt_none"}, 404),
        ("POST", "/webhooks/crm/replay", {}, 400),
        ("POST", "/webhooks/crm/replay", {"account_id": account_id}, 400),
        ("GET", "/webhooks/crm/deliveries?state=lost", None, 400),
        ("GET", "/webhooks/crm/deliveries?cursor=bm8", None, 400),
    ):
        assert (await apis.admin(method, path, body)).status == status, path


async def test_only_the_admin_key_sees_webhooks(apis: Apis) -> None:
    secret = (await apis.key(await apis.account()))[1]
    assert (await apis.ask("GET", "/admin/v1/webhooks", key=secret)).status in (401, 403)
