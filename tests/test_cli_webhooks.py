"""Webhooks and notifications from the command line, as a real process against a running server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.ledger.alerts import Alerts
from proxy.upstream.webhooks import Endpoint, Webhooks
from tests.api.apis import Apis, serving
from tests.test_cli import ask

NOWHERE = Endpoint("crm", "https://127.0.0.1:1/hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.store.alerts = Alerts()
        running.settings = replace(running.settings, webhooks=Webhooks({"crm": NOWHERE}))
        yield running


async def test_events_are_listed_shown_and_sent_again(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "5")
    listed = (await ask(apis, "notifications", "--account", account_id, "--json")).json
    event_id = listed["data"][0]["id"]
    assert "amount 5.00" in (await ask(apis, "notifications", "--type", "credits.granted")).out
    assert "127.0.0.1" in (await ask(apis, "webhooks", "list")).out
    again = ("webhooks", "replay", "crm")
    assert "1 sent again" in (await ask(apis, *again, "--account", account_id, "--event", event_id)).out
    assert "1 sent again" in (await ask(apis, *again, "--since", "2024-01-01T00:00:00Z")).out
    assert event_id in (await ask(apis, "webhooks", "deliveries", "crm", "--state", "pending")).out
    shown = (await ask(apis, "webhooks", "show", account_id, event_id)).out
    assert "credits.granted" in shown
    assert "pending" in shown
    assert (await ask(apis, *again)).code == 2


async def test_what_an_account_has_registered_is_listed_and_deleted(apis: Apis) -> None:
    master = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
    apis.settings = replace(apis.settings, webhooks=Webhooks(accounts_most=2, accounts_secret=master))
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    body = {"url": "https://app.example/hook"}
    made = (await apis.ask("POST", "/v1/billing/webhooks", key=secret, body=body)).body
    assert made["id"] in (await ask(apis, "webhooks", "of", account_id)).out
    assert "is deleted" in (await ask(apis, "webhooks", "delete", account_id, made["id"])).out
    assert made["id"] not in (await ask(apis, "webhooks", "of", account_id)).out


async def test_a_test_says_why_it_was_not_heard(apis: Apis) -> None:
    ran = await ask(apis, "webhooks", "test", "crm")
    assert (ran.code, "its address is not public" in ran.out) == (0, True)


async def test_an_accounts_alerts_are_set_and_taken_back(apis: Apis) -> None:
    account_id = await apis.account()
    update = ("accounts", "update", account_id, "--json")
    changed = (await ask(apis, *update, "--balance-low", "5", "--limit-percents", "50,90")).json
    assert changed["alerts"] == {"balance_low": "5.00", "limit_percents": [50, 90]}
    assert "50 %, 90 %" in (await ask(apis, "accounts", "show", account_id)).out
    changed = (await ask(apis, *update, "--balance-low", "none", "--limit-percents", "default")).json
    assert changed["alerts"] == {"balance_low": "none", "limit_percents": None}
    assert (await ask(apis, *update, "--limit-percents", "half")).code == 2
