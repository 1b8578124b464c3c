"""`kill -9` under load: what a client saw whole is on the ledger, nothing twice, nothing stays held."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.harness import Server, config_for, nano
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

CALLERS = 32
HELLO: Any = [{"role": "user", "content": "Say hello"}]


async def hammer(server: Server, secret: str, seen: list[str]) -> None:
    """Call until the server is gone; note the id of every call whose answer was complete."""
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        stream = secrets.randbelow(2) == 1
        body = {
            "model": "k-stream" if stream else "k-whole",
            "messages": HELLO,
            "stream": stream,
            "max_tokens": 8,
        }
        while True:
            try:
                async with session.post(f"{server.url}/v1/chat/completions", json=body) as answer:
                    data = await answer.read()
            except (aiohttp.ClientError, OSError):
                return
            whole = data.endswith(DONE) if stream else bool(json.loads(data).get("usage"))
            if answer.status == 200 and whole:
                seen.append(answer.headers["x-request-id"])


async def test_kill_9_under_load_loses_and_doubles_nothing(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Three kills: every complete answer has one receipt, and the balance is what the receipts say."""
    upstream.behaviours["k-whole"] = answers(completion(prompt=10, output=5))
    upstream.behaviours["k-stream"] = streams(chunk("Hi"), chunk(finish="stop"), usage_chunk(10, 5), DONE)
    server = Server(config_for(upstream.port, tmp_path), tmp_path).start()
    account = server.account("1000.00")
    seen: list[str] = []
    for _ in range(3):
        before = len(seen)
        callers = [asyncio.ensure_future(hammer(server, account.secret, seen)) for _ in range(CALLERS)]
        while len(seen) < before + 150:
            await asyncio.sleep(0.01)
        server.kill()
        await asyncio.gather(*callers)
        server.start()
    try:
        rows = await asyncio.to_thread(all_calls, server, account.id)
        receipts = {row["id"]: row for row in rows}
        assert len(receipts) == len(rows)
        assert [call for call in seen if call not in receipts] == []
        assert account.nano("held") == 0
        charged = sum(nano(row["charged"]) for row in rows)
        assert account.nano("balance") == 1_000 * 10**9 - charged
        assert all(receipts[call]["charged"] == "0.00002" for call in seen)
        assert server.admin.get("/admin/v1/holds?state=open")["data"] == []
    finally:
        server.stop()


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


async def test_an_observed_stream_is_charged_after_a_crash(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """A stream that was running when the process died is charged what was last observed, as `recovered`."""
    upstream.behaviours["k-slow"] = streams(chunk("Hello there"), then=drip)
    config = config_for(upstream.port, tmp_path, streams={"observe_seconds": 0.05})
    server = Server(config, tmp_path).start()
    account = server.account("1.00")
    headers = {"Authorization": f"Bearer {account.secret}"}
    body = {"model": "k-slow", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server.url}/v1/chat/completions", json=body) as answer,
    ):
        for _ in range(20):
            await answer.content.readline()
        server.kill()
    server.start()
    try:
        receipt = account.last()
        assert (receipt["basis"], receipt["outcome"]) == ("recovered", "crashed")
        assert receipt["charged"] not in {"0.00", ""}
        assert account.nano("held") == 0
    finally:
        server.stop()


async def drip(response: Any) -> None:
    """An event every 20 ms."""
    while True:
        await response.write(chunk(" more"))
        await asyncio.sleep(0.02)
