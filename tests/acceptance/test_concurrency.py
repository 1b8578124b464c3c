"""No overspend: many concurrent callers on one account, with a naive control that fails the same test."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.acceptance.harness import Account, ScriptedUpstream, Server, answers, completion

CALLERS = 200
AFFORDABLE = 37
HELLO: Any = [{"role": "user", "content": "Say hello"}]


async def call_all(server: Server, account: Account, path: str, body: dict[str, Any]) -> list[int]:
    """Every caller at once; gives the statuses."""
    headers = {"Authorization": f"Bearer {account.secret}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> int:
            while True:
                async with session.post(server.url + path, json=body) as answer:
                    error = (await answer.json()).get("error") or {}
                if error.get("code") != "in_flight_budget_exhausted":
                    return answer.status
                await asyncio.sleep(0.01)

        return await asyncio.gather(*(one() for _ in range(CALLERS)))


@pytest.fixture(autouse=True)
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["c-fixed"] = answers(completion(prompt=9, output=16))
    upstream.behaviours["/v1/search"] = answers({"results": []})


async def test_37_of_200_when_the_balance_pays_for_37(server: Server, upstream: ScriptedUpstream) -> None:
    """Exactly 37 searches of 0.02 USD succeed, the rest get 402, the balance ends at exactly zero."""
    account = server.account(f"{AFFORDABLE * 0.02:.2f}")
    before = upstream.served
    statuses = await call_all(server, account, "/v1/search", {})
    assert (statuses.count(200), statuses.count(402)) == (AFFORDABLE, CALLERS - AFFORDABLE)
    assert (account.nano("balance"), account.nano("held")) == (0, 0)
    assert upstream.served - before == AFFORDABLE


async def test_37_of_200_when_the_daily_limit_pays_for_37(server: Server) -> None:
    """The same for a daily limit: the money stays, the day is spent."""
    account = server.account("100.00", limits={"day": f"{AFFORDABLE * 0.02:.2f}"})
    statuses = await call_all(server, account, "/v1/search", {})
    assert (statuses.count(200), statuses.count(402)) == (AFFORDABLE, CALLERS - AFFORDABLE)
    assert account.nano("balance") == 100_000_000_000 - AFFORDABLE * 20_000_000
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
    statuses = await call_all(server, account, "/v1/chat/completions", body)
    charged = statuses.count(200) * 41_000
    assert account.nano("balance") == 1_000_000 - charged >= 0
    assert account.nano("held") == 0
    assert statuses.count(200) >= 21


async def test_check_then_charge_fails_the_same_test() -> None:
    """The control: a gate that looks first and charges afterwards lets more than 37 through."""
    balance = AFFORDABLE

    async def naive() -> int:
        nonlocal balance
        if balance < 1:
            return 402
        await asyncio.sleep(0)
        balance -= 1
        return 200

    statuses = await asyncio.gather(*(naive() for _ in range(CALLERS)))
    assert statuses.count(200) > AFFORDABLE
    assert balance < 0
