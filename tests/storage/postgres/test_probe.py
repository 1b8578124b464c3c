"""A probe finds out what a new session would, and what a commit would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from proxy.ledger.store import LedgerUnavailable, Store
from tests.storage.engines import opened
from tests.storage.postgres.server import Server, new_schema_at, own_server
from tests.storage.teller import opening

MOST_CONNECTIONS = 12
SHORT_SECONDS = 0.5
"""How long is waited for an answer that does not come."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with few connections to give."""
    server = own_server()
    try:
        server.kill()
        server._settings["max_connections"] = str(MOST_CONNECTIONS)
        server.start()
        yield server
    finally:
        server.remove()


@contextlib.asynccontextmanager
async def session(server: Server) -> AsyncIterator[Any]:
    connection: Any = await asyncpg.connect(server.location())
    try:
        yield connection
    finally:
        await connection.close()


async def lost(store: Store) -> str:
    """Why a probe says that the store is lost; empty when it says otherwise."""
    try:
        await store.probe()
    except LedgerUnavailable as error:
        return str(error)
    return ""


async def test_a_server_that_is_gone_is_lost_until_it_is_back(server: Server) -> None:
    async with opened(await new_schema_at(server.location())) as store:
        await store.probe()
        server.kill()
        try:
            with pytest.raises(LedgerUnavailable, match=r"^postgresql:///postgres: "):
                await store.probe()
        finally:
            await asyncio.to_thread(server.start)
        await store.probe()


@pytest.mark.parametrize("sessions", [True, False], ids=["all of it", "its first process"])
async def test_a_server_that_stands_still_does_not_answer(server: Server, sessions: bool) -> None:
    """Sessions that were there before may go on: a probe is not content with them."""
    async with opened(await new_schema_at(server.location())) as store:
        await store.apply(opening(1_000))
        with server.frozen(sessions=sessions), pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_SECONDS):
                await store.probe()
        await store.probe()


async def test_a_server_that_takes_no_writes_is_lost(server: Server) -> None:
    """Keys would be found, but no hold could be made."""
    async with opened(await new_schema_at(server.location())) as store, session(server) as operator:
        await operator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await operator.execute("SELECT pg_reload_conf()")
        try:
            async with asyncio.timeout(60):
                while "read-only" not in await lost(store):
                    await asyncio.sleep(0.01)
        finally:
            await operator.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await operator.execute("SELECT pg_reload_conf()")


async def test_without_a_session_to_spare_those_that_there_are_count(server: Server) -> None:
    """Somebody else has taken the rest: calls get through, so that the store is not lost."""
    async with opened(await new_schema_at(server.location())) as store, contextlib.AsyncExitStack() as others:
        await store.apply(opening(1_000))
        await store.caller_by_digest("digest")
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            for _ in range(MOST_CONNECTIONS):
                await others.enter_async_context(session(server))
        await store.probe()


async def test_a_probe_leaves_no_session_behind(server: Server) -> None:
    async with opened(await new_schema_at(server.location())) as store, session(server) as operator:
        for _ in range(2 * MOST_CONNECTIONS):
            await store.probe()
            async with asyncio.timeout(60):
                while await operator.fetchval("SELECT count(*) FROM pg_stat_activity") > MOST_CONNECTIONS:
                    await asyncio.sleep(0.01)
