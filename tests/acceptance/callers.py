"""Callers that go on through every failure, and what must hold of the ledger afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import httpx2 as httpx

from proxy.storage.locations import database_at
from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server, eventually, nano
from tests.acceptance.scripted_upstream import DONE
from tests.storage.whole import differences

CALLERS: Final = 8
"""How many callers each machine has for whole answers, and again for streams."""


async def hammer(url: str, secret: str, model: str, seen: list[str], ending: asyncio.Event) -> None:
    """Call again and again, also after failures; collect the id of every call whose answer was complete."""
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"model": model, "messages": HELLO, "stream": model == "f-stream", "max_tokens": 8}
    async with aiohttp.ClientSession(headers=headers) as session:
        while not ending.is_set():
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                    data = await answer.read()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.02)
                continue
            whole = data.endswith(DONE) if model == "f-stream" else b'"usage"' in data
            if answer.status == 200 and whole:
                seen.append(answer.headers["x-request-id"])
            elif answer.status != 200:
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def hammered(machines: list[Server], secret: str, seen: list[str]) -> AsyncIterator[None]:
    """Callers of all machines for the length of a block."""
    ending = asyncio.Event()
    callers = [
        asyncio.ensure_future(hammer(machine.url, secret, model, seen, ending))
        for machine in machines
        for model in ("f-whole", "f-stream")
        for _ in range(CALLERS)
    ]
    try:
        yield
    finally:
        ending.set()
        await asyncio.gather(*callers)


async def progress(seen: list[str], calls: int = 100) -> None:
    """Wait until so many more calls have been complete."""
    wanted = len(seen) + calls
    async with asyncio.timeout(WAIT_SECONDS):
        while len(seen) < wanted:
            await asyncio.sleep(0.01)


async def assert_all_there(machine: Server, account: Account, seen: list[str], granted_nano: int) -> None:
    """No complete call is missing, none is charged twice, nothing is held, and the audit is clean."""
    rows = await asyncio.to_thread(all_calls, machine, account.id)
    receipts = {row["id"]: row for row in rows}
    assert len(receipts) == len(rows)
    assert [call for call in seen if call not in receipts] == []
    assert {receipts[call]["charged"] for call in seen} == {"0.00002"}
    await asyncio.to_thread(eventually, lambda: account.nano("held") == 0)
    assert account.nano("balance") == granted_nano - sum(nano(row["charged"]) for row in rows)
    assert machine.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert await asyncio.to_thread(audited, machine) == []


def unavailable(machine: Server, secret: str) -> bool:
    """Whether a call is refused because of the ledger. One that was let in before waits for the ledger."""
    body = {"model": "f-whole", "messages": HELLO}
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        answer = httpx.post(f"{machine.url}/v1/chat/completions", json=body, headers=headers, timeout=4)
    except httpx.TimeoutException:
        return False
    return (answer.status_code, (answer.json().get("error") or {}).get("code")) == (503, "ledger_unavailable")


def all_calls(server: Server, account_id: str) -> list[dict[str, Any]]:
    """Every receipt of an account, page by page."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.admin.get(f"/admin/v1/receipts?account_id={account_id}&limit=100{cursor}")
        rows += page["data"]
        if not page["has_more"]:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def audited(server: Server) -> list[Any]:
    """What an audit of the database finds wrong."""
    return differences(database_at(server.config["storage"]))
