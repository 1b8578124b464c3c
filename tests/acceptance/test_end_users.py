"""Limits of end users by real processes: exact among many callers, after `kill -9`, whatever callers send."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.acceptance.harness import HELLO, Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, chunk, completion, streams

CALLERS = 120
CHAT = "/v1/chat/completions"
LIMIT_NANO = 3_000_000


@pytest.fixture(scope="module")
def limited(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where each end user may have so many calls at once, by its configuration."""
    folder = tmp_path_factory.mktemp("limited")
    terms = {"limits": {"concurrency": CALLERS, "tpm": 10_000_000}, "new_per_minute": 20}
    config = config_for(upstream.port, folder)
    config["accounts"] = {**config.get("accounts", {}), "end_users": terms}
    with running(config, folder) as started:
        yield started


@pytest.fixture(autouse=True)
def behaviours(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["u-ok"] = answers(completion(prompt=9, output=16))


def row_of(account: Account, end_user: str) -> dict[str, Any]:
    rows = account.admin.get(f"/admin/v1/accounts/{account.id}/end_users?end_user={end_user}")["data"]
    (row,) = rows
    found: dict[str, Any] = row
    return found


async def test_many_callers_of_one_end_user_spend_no_more_than_it_may(limited: Server) -> None:
    """The last call that fits passes, and none after it; others are not held up; the sums are exact."""
    account = await asyncio.to_thread(limited.account, "100.00")
    body = {"end_user": "ann", "limits": {"day": "0.003"}}
    await asyncio.to_thread(account.admin.ask, "PUT", f"/admin/v1/accounts/{account.id}/end_users", body)
    call = {"model": "u-ok", "messages": HELLO, "user": "ann", "max_completion_tokens": 16}
    headers = {"Authorization": f"Bearer {account.secret}"}
    costs, holds = list[int](), list[int]()
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(user: str) -> str:
            while True:
                async with session.post(limited.url + CHAT, json={**call, "user": user}) as answer:
                    text = await answer.json()
                    if answer.status == 200:
                        costs.append(nano(answer.headers["x-farebox-cost"]))
                        holds.append(nano(answer.headers["x-farebox-hold"]))
                        return "200"
                error: dict[str, Any] = text["error"]
                if error["code"] != "in_flight_budget_exhausted":
                    assert error["limit_source"] == "end_user_day", error
                    return str(error["code"])
                await asyncio.sleep(0.02)

        codes = await asyncio.gather(*(one("ann") for _ in range(CALLERS)))
        assert set(codes) == {"200", "daily_limit_exceeded"}
        spent_nano = sum(costs)
        assert await one("bob") == "200"
    day = (await asyncio.to_thread(row_of, account, "ann"))["spending"][0]
    assert (nano(day["spent"]), day["held"]) == (spent_nano, "0.00")
    assert LIMIT_NANO - max(holds) < spent_nano <= LIMIT_NANO


async def test_kill_9_leaves_nothing_in_flight(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """What was observed of a call is counted to its end user, and the next one passes."""

    async def drip(response: Any) -> None:
        while True:
            await response.write(chunk("more"))
            await asyncio.sleep(0.01)

    upstream.behaviours["u-slow"] = streams(chunk("Hello there"), then=drip)
    config = config_for(upstream.port, tmp_path, streams={"observe_seconds": 0.05})
    server = Server(config, tmp_path).start()
    try:
        account = server.account("1.00", end_users={"limits": {"concurrency": 1}})
        headers = {"Authorization": f"Bearer {account.secret}"}
        body = {"model": "u-slow", "messages": HELLO, "stream": True, "user": "ann"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(server.url + CHAT, json=body) as answer,
        ):
            for _ in range(20):
                await answer.content.readline()
            status, _, refused = account.api.ask("POST", CHAT, {**body, "stream": False})
            assert (status, refused["error"]["limit_source"]) == (429, "end_user_concurrency")
            server.kill()
        server.start()
        eventually(lambda: row_of(account, "ann")["open_holds"] == 0)
        spent = row_of(account, "ann")["spending"][2]["spent"]
        assert spent == account.last()["charged"] != "0.00"
        assert account.api.ask("POST", CHAT, {**body, "model": "u-ok", "stream": False})[0] == 200
    finally:
        server.stop()


TEN_MEGABYTES = 10_000_000
HOSTILE: dict[str, bytes] = {
    "ten megabytes": b'"$"',
    "control characters": json.dumps("a\x00\x1f\x7f\x9f\r\n\u2028b").encode(),
    "a lone surrogate": rb'"a\ud800b"',
    "the other half": rb'"\udc00"',
    "right to left": json.dumps("\u202ebob").encode(),
    "no text": b"[1, 2]",
    "a number": b"12345678901234567890",
    "null": b"null",
    "SQL": json.dumps("'; DROP TABLE end_users; --").encode(),
    "a path": json.dumps("../../{0}/%00").encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_callers_say_is_counted_or_is_nobody(limited: Server, name: str) -> None:
    """No value breaks a call, and what is kept of it can be shown, asked for and limited again."""
    account = limited.account("100.00")
    user = HOSTILE[name].replace(b"$", b"x" * TEN_MEGABYTES)
    body = b'{"model": "u-ok", "messages": [{"role": "user", "content": "hi"}], "user": %b}' % user
    status, _, answer = account.api.ask("POST", CHAT, body)
    assert status == 200, answer
    rows = account.admin.get(f"/admin/v1/accounts/{account.id}/end_users")["data"]
    for row in rows:
        assert 0 < len(row["end_user"]) <= 256
        limits = {"end_user": row["end_user"], "limits": {"concurrency": 1}}
        path = f"/admin/v1/accounts/{account.id}/end_users"
        assert account.admin.ask("PUT", path, limits)[0] == 200


def refusal_of(call: Callable[[str], None], user: str) -> openai.RateLimitError | None:
    try:
        call(user)
    except openai.RateLimitError as error:
        return error
    return None


def test_new_end_users_come_in_slowly_and_known_ones_stay(limited: Server) -> None:
    """However many a caller makes up, so many rows there are; the official SDK is told to come back."""
    account = limited.account("100.00")
    client = openai.OpenAI(base_url=f"{limited.url}/v1", api_key=account.secret, max_retries=0)

    def call(user: str) -> None:
        client.chat.completions.create(model="u-ok", messages=[{"role": "user", "content": "hi"}], user=user)

    for number in range(20):
        call(f"user {number}")
    refused = [error for number in range(20, 40) if (error := refusal_of(call, f"user {number}"))]
    assert refused[0].body["limit_source"] == "account_newcomers"  # type: ignore[index]
    call("user 3")


def test_a_call_has_to_say_whom_it_is_for_where_that_is_required(limited: Server) -> None:
    account = limited.account("100.00", end_users={"require": True})
    body = {"model": "u-ok", "messages": HELLO}
    status, _, refused = account.api.ask("POST", CHAT, body)
    assert (status, refused["error"]["code"]) == (400, "end_user_required")
    assert account.api.ask("POST", CHAT, {**body, "safety_identifier": "ann"})[0] == 200
    assert [row["end_user"] for row in account.requests()] == ["ann"]
