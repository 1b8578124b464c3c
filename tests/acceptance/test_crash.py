"""`kill -9` under load: what a client saw whole is on the ledger, nothing twice, nothing stays held."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.callers import assert_all_there, hammered, progress
from tests.acceptance.harness import HELLO, Server, config_for, running
from tests.acceptance.scripted_upstream import (
    ScriptedUpstream,
    chunk,
    streams,
)


async def test_kill_9_under_load_loses_and_doubles_nothing(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Three kills: every complete answer has one receipt, and the balance is what the receipts say."""
    with running(config_for(upstream.port, tmp_path), tmp_path) as server:
        account = await asyncio.to_thread(server.account, "1000.00")
        seen: list[str] = []
        async with hammered([server], account.secret, seen):
            for _ in range(3):
                await progress(seen, 150)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
        await assert_all_there(server, account, seen, 1_000 * 10**9)


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
