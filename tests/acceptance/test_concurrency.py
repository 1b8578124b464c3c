"""No overspend: many concurrent callers on one account, with a naive control that fails the same test."""

import asyncio
from typing import Any

import aiohttp
import pytest

from proxy.money import usd_string
from tests.acceptance.crowd import SEARCH_NANO, NaiveGate
from tests.acceptance.harness import HELLO, Server
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

CALLERS = 200
AFFORDABLE = 37


async def call_all(url: str, secret: str, path: str, body: dict[str, Any]) -> list[int]:
    """Every caller at once; gives the statuses."""
    headers = {"Authorization": f"Bearer {secret}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> int:
            while True:
                async with session.post(url + path, json=body) as answer:
                    error = (await answer.json()).get("error") or {}
                if error.get("code") != "in_flight_budget_exhausted":
                    return answer.status
                await asyncio.sleep(0.01)

        return await asyncio.gather(*(one() for _ in range(CALLERS)))


@pytest.fixture(autouse=True)
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["c-fixed"] = answers(completion(prompt=9, output=16))


async def test_37_of_200_when_the_balance_pays_for_37(server: Server, upstream: ScriptedUpstream) -> None:
    """Exactly 37 searches of 0.02 USD succeed, the rest get 402, the balance ends at exactly zero."""
    account = server.account(usd_string(AFFORDABLE * SEARCH_NANO))
    before = upstream.served
    statuses = await call_all(server.url, account.secret, "/v1/search", {})
    assert (statuses.count(200), statuses.count(402)) == (AFFORDABLE, CALLERS - AFFORDABLE)
    assert (account.nano("balance"), account.nano("held")) == (0, 0)
    assert upstream.served - before == AFFORDABLE


async def test_37_of_200_when_the_daily_limit_pays_for_37(server: Server) -> None:
    """The same for a daily limit: the money stays, the day is spent."""
    account = server.account("100.00", limits={"day": usd_string(AFFORDABLE * SEARCH_NANO)})
    statuses = await call_all(server.url, account.secret, "/v1/search", {})
    assert (statuses.count(200), statuses.count(402)) == (AFFORDABLE, CALLERS - AFFORDABLE)
    assert account.nano("balance") == 100_000_000_000 - AFFORDABLE * SEARCH_NANO
    assert account.nano("held") == 0
    status, _, body = account.api.ask("POST", "/v1/search", {})
    assert status == 402
    assert body["error"]["code"] == "daily_limit_exceeded"
    assert body["error"]["resets_at"].endswith("T00:00:00Z")
    server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"limits": {"day": "100.00"}})
    assert account.api.ask("POST", "/v1/search", {})[0] == 200


async def test_metered_calls_never_overdraw(server: Server) -> None:
    """Calls that cost less than they hold: their sum never exceeds the grant, and nothing stays held."""
    account = server.account("0.001")
    body = {"model": "c-fixed", "messages": HELLO, "max_tokens": 16}
    statuses = await call_all(server.url, account.secret, "/v1/chat/completions", body)
    charged = statuses.count(200) * 41_000
    assert account.nano("balance") == 1_000_000 - charged >= 0
    assert account.nano("held") == 0
    assert statuses.count(200) >= 21


async def test_check_then_charge_fails_the_same_test(upstream: ScriptedUpstream) -> None:
    """A gate that looks first and charges afterwards lets more than 37 through and ends below zero."""
    gate = NaiveGate(upstream, AFFORDABLE * SEARCH_NANO)
    async with gate.serving() as url:
        statuses = await call_all(url, "any", "/v1/search", {})
    assert len(statuses) == CALLERS
    assert statuses.count(200) > AFFORDABLE
    assert gate.balance_nano == (AFFORDABLE - statuses.count(200)) * SEARCH_NANO < 0
