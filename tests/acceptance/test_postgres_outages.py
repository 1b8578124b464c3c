"""PostgreSQL is there but cannot be used: calls are refused in time, and all comes back by itself.

The server has a tenth of the usual patience with its database, see `stage`. In every outage a call gets its
answer or 503 within `BOUND_SECONDS`, and no call is forwarded without a hold.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from tests.acceptance.call_kinds import STREAM, seen_by
from tests.acceptance.callers import all_calls, assert_all_there, audited, hammered, progress, unavailable
from tests.acceptance.harness import WAIT_SECONDS, config_for, eventually, nano
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
)
from tests.acceptance.stage import PATIENCE_SECONDS, TIMEOUTS, Stage
from tests.acceptance.steps import Step
from tests.conftest import end_missing
from tests.storage.engines import apart
from tests.storage.postgres.server import Server as Postgres
from tests.storage.postgres.server import new_schema_at, own_server

MOST_CONNECTIONS = 24
BOUND_SECONDS = 3 * (PATIENCE_SECONDS + TIMEOUTS.answer_seconds)
"""The patience, and an answer that is waited for at its end; for a key, a hold, and a slow machine."""
GRANT_NANO = 1_000 * 10**9
JUNK = """
    INSERT INTO holds (id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner)
    SELECT 'junk_' || number, repeat('-', 60), repeat('-', 60), 0, 0, 'voided', 0, ''
    FROM generate_series(1, 100000) AS number
"""
"""Longer than a file of the server's log, which is 16 MiB."""
OURS = "FROM pg_stat_activity WHERE application_name = 'farebox'"
Outage = Callable[[str], "contextlib.AbstractAsyncContextManager[object]"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of the tests' own, with few connections to give."""
    server = own_server()
    try:
        server.kill()
        server._settings["max_connections"] = str(MOST_CONNECTIONS)
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def stage(
    postgres: Postgres, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    upstream.behaviours["s-stream"] = STREAM.behaviour
    folder = tmp_path_factory.mktemp("outages")
    location = apart(new_schema_at(postgres.location()))
    started = Stage(config_for(upstream.port, folder, storage=location), folder)
    started.start()
    yield started
    assert started.stop() == 0


@contextlib.asynccontextmanager
async def connected(location: str) -> AsyncIterator[Any]:
    """A session beside the server's."""
    connection: Any = await asyncpg.connect(location)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def nothing_left_to_connect_with(location: str) -> AsyncIterator[None]:
    """Others take every connection there is. Those of the server are cut."""
    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(connected(location))]
        async with asyncio.timeout(WAIT_SECONDS):
            # One of the server's that has not come as far as its name is counted, and not found.
            while len(sessions) < MOST_CONNECTIONS:
                try:
                    sessions.append(await stack.enter_async_context(connected(location)))
                except asyncpg.TooManyConnectionsError:
                    await sessions[0].fetchval(f"SELECT count(pg_terminate_backend(pid)) {OURS}")
        yield


@contextlib.asynccontextmanager
async def only_to_be_read(location: str) -> AsyncIterator[None]:
    """As after a failover to a server that is not the primary yet."""
    async with connected(location) as session:
        await session.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await session.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            await session.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await session.execute("SELECT pg_reload_conf()")


@contextlib.asynccontextmanager
async def accounts_locked(location: str) -> AsyncIterator[None]:
    """Somebody else has every account locked, and does not come to an end."""
    async with connected(location) as session, session.transaction():
        await session.execute("SELECT id FROM accounts FOR UPDATE")
        yield


@contextlib.asynccontextmanager
async def tables_locked(location: str) -> AsyncIterator[None]:
    """As while somebody changes the schema: not even keys can be read."""
    async with connected(location) as session, session.transaction():
        await session.execute("LOCK TABLE accounts, keys, holds IN ACCESS EXCLUSIVE MODE")
        yield


async def lengthen_holds(location: str) -> None:
    """Make their file longer than any other. Rows that were rolled back still have their pages."""
    async with connected(location) as session:
        await session.execute("ALTER TABLE holds SET (autovacuum_enabled = off)")
        junk = session.transaction()
        await junk.start()
        await session.execute(JUNK)
        await junk.rollback()


@contextlib.asynccontextmanager
async def disk_full(location: str) -> AsyncIterator[None]:
    """No file of the server can grow beyond what that of the holds has now, which is the longest.

    It takes this as it takes a disk that is full.
    """
    async with connected(location) as session:
        most_bytes = await session.fetchval("SELECT pg_relation_size('holds')")
        folder = Path(await session.fetchval("SHOW data_directory"))
    server = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
    limit_files(server, str(most_bytes))
    try:
        yield
    finally:
        limit_files(server, "unlimited")


def limit_files(server: psutil.Process, most_bytes: str) -> None:
    """Let no file of a server become longer than that; what it starts later takes after its first process."""
    # It is a user's own processes that he may limit; root cannot everywhere.
    its = {"user": server.uids().real, "group": server.gids().real, "extra_groups": []}
    identity: dict[str, Any] = its if os.geteuid() == 0 else {}
    for process in (server, *server.children(recursive=True)):
        program = ["prlimit", f"--pid={process.pid}", f"--fsize={most_bytes}:"]
        limited = subprocess.run(program, capture_output=True, check=False, **identity)
        assert limited.returncode == 0 or not process.is_running(), limited.stderr


@contextlib.asynccontextmanager
async def timed(longest: list[float], stage: Stage, secret: str) -> AsyncIterator[None]:
    """Measure how long calls take, one after the other, for the length of a block."""
    ending = asyncio.Event()

    async def ask_on() -> None:
        while not ending.is_set():
            started = time.monotonic()
            await asyncio.to_thread(unavailable, stage, secret)
            longest.append(time.monotonic() - started)
            await asyncio.sleep(0.01)

    asking = asyncio.ensure_future(ask_on())
    try:
        yield
    finally:
        ending.set()
        await asking


@pytest.mark.parametrize(
    "outage", [nothing_left_to_connect_with, only_to_be_read, accounts_locked, tables_locked]
)
async def test_an_outage_is_refused_in_time_and_forgotten_when_it_is_over(
    upstream: ScriptedUpstream, stage: Stage, outage: Outage
) -> None:
    """Under load: 503 before long, nothing forwarded meanwhile; afterwards each call once, nothing held."""
    location = stage.config["storage"]
    account = await asyncio.to_thread(stage.account, "1000.00")
    other = await asyncio.to_thread(stage.account, "1000.00")
    before, seen, took = len(upstream.received), list[str](), list[float]()
    async with hammered([stage], account.secret, seen), timed(took, stage, other.secret):
        await progress(seen)
        async with outage(location):
            await asyncio.to_thread(eventually, lambda: unavailable(stage, other.secret))
            # Locks on rows are in the way of those whose rows they are.
            assert await asyncio.to_thread(not_ready, stage) or outage is accounts_locked
            forwarded = len(upstream.received)
            for _ in range(5):
                assert await asyncio.to_thread(unavailable, stage, other.secret)
            assert len(upstream.received) == forwarded
        await progress(seen)
    assert max(took) < BOUND_SECONDS
    await assert_all_there(stage, account, seen, GRANT_NANO)
    calls = all_calls(stage, account.id) + all_calls(stage, other.id)
    assert len(upstream.received) - before <= len(calls)
    assert other.nano("held") == 0


async def test_a_full_disk_loses_and_doubles_nothing(upstream: ScriptedUpstream, stage: Stage) -> None:
    """What needs a new page is refused, what fits is carried out; what was forwarded is there once."""
    if shutil.which("prlimit") is None:
        end_missing("needs the program prlimit")
    await lengthen_holds(stage.config["storage"])
    account, before = await asyncio.to_thread(stage.account, "1000.00"), len(upstream.received)
    seen: list[str] = []
    async with hammered([stage], account.secret, seen):
        await progress(seen)
        async with disk_full(stage.config["storage"]):
            await asyncio.to_thread(eventually, lambda: unavailable(stage, account.secret))
        await progress(seen)
    await assert_all_there(stage, account, seen, GRANT_NANO)
    assert len(upstream.received) - before <= len(all_calls(stage, account.id))


async def test_sessions_ended_again_and_again_under_load_cost_no_call(
    upstream: ScriptedUpstream, stage: Stage
) -> None:
    """An operator ends the server's sessions in the middle of their work: each call gets one answer."""
    account = await asyncio.to_thread(stage.account, "1000.00")
    seen: list[str] = []
    async with hammered([stage], account.secret, seen), connected(stage.config["storage"]) as session:
        for _ in range(12):
            await progress(seen, 20)
            assert await session.fetchval(f"SELECT count(pg_terminate_backend(pid)) {OURS}")
    await assert_all_there(stage, account, seen, GRANT_NANO)


async def test_a_server_killed_in_an_outage_leaves_nothing_behind(
    upstream: ScriptedUpstream, stage: Stage
) -> None:
    """The next server recovers the holds whose closes did not reach the database."""
    account = await asyncio.to_thread(stage.account, "1000.00")
    seen: list[str] = []
    async with hammered([stage], account.secret, seen):
        await progress(seen)
        async with accounts_locked(stage.config["storage"]):
            await asyncio.to_thread(eventually, lambda: unavailable(stage, account.secret))
            await asyncio.to_thread(stage.kill_server)
        await asyncio.to_thread(stage.comes_back)
        await progress(seen)
    await assert_all_there(stage, account, seen, GRANT_NANO)


@pytest.mark.parametrize("step", [step for step in Step if step != Step.OBSERVED], ids=lambda step: step.name)
async def test_a_database_killed_at_a_step_of_a_call_costs_nobody_anything(
    postgres: Postgres, upstream: ScriptedUpstream, stage: Stage, step: Step
) -> None:
    """From its hold on a call ends whole and is charged once; before it may be refused, and then is free."""
    assert postgres._process is not None
    account, before = await asyncio.to_thread(stage.account, "1.00"), len(upstream.received)
    stage.kills_at(step, postgres._process.pid)
    calling = asyncio.ensure_future(asyncio.to_thread(seen_by, account, STREAM))
    await asyncio.to_thread(eventually, lambda: not stage.is_armed())
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)
    seen = await calling
    await asyncio.to_thread(eventually, lambda: not not_ready(stage))
    rows = [(row["outcome"], nano(row["charged"])) for row in account.requests()]
    if step > Step.AUTHORIZING or seen.endswith(DONE):
        assert seen.endswith(DONE)
        assert rows == [("complete", STREAM.charge_nano)]
    else:
        assert b'"ledger_unavailable"' in seen
        assert rows in ([], [("ledger_unavailable", 0)])
    assert len(upstream.received) - before == seen.endswith(DONE)
    assert account.nano("held") == 0
    assert account.nano("balance") == 10**9 - sum(charged_nano for _, charged_nano in rows)
    assert stage.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert await asyncio.to_thread(audited, stage) == []


def not_ready(stage: Stage) -> bool:
    """Whether it says that it takes no calls."""
    return stage.admin.ask("GET", "/readyz")[0] == 503
