"""What is lost of a batch when server, connection or answer are lost: nothing, and nothing happens twice."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.ledger.commands import Extend, Granted
from proxy.ledger.store import LedgerUnavailable
from proxy.storage.faults import StorageFault
from proxy.storage.postgres.session import Timeouts
from tests.storage.engines import Postgres, opened, postgres_at, tell
from tests.storage.postgres.network import Network
from tests.storage.postgres.server import Server, new_schema_at, own_server
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    account,
    authorize,
    call,
    done,
    grant,
    granted,
    opening,
    settle,
    settled,
)

WRITE, LOAD = b"SELECT ledger_write", b"acct_1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = own_server()
    yield server
    server.remove()


@pytest.fixture
async def network(server: Server) -> AsyncIterator[Network]:
    """A network to an empty database, in a folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        async with Network(await new_schema_at(server.location()), Path(folder)).open() as network:
            yield network


# --- a connection that breaks ---


@pytest.mark.parametrize("fate", ["cut before", "cut after"])
async def test_a_batch_cut_off_at_its_commit_is_carried_out_once(network: Network, fate: Any) -> None:
    """Whether the server had carried it out is found out, and the results are those it had."""
    async with opened(network.location) as store:
        await store.apply(opening(1_000))
        await granted(store, call("call_1"), 300)
        await granted(store, call("call_2"), 300)
        network.cut(WRITE, fate)
        extend = Extend(call("call_2"), NOON_US, NOON_US, 100)
        results = await store.apply([settle(call("call_1"), 250), extend, grant(5, command_id="grant_2")])
        assert [getattr(result, "replayed", False) for result in results] == [False] * 3
        assert results[1] == Granted(400, 350)
        row = await account(store)
        assert (row["balance_nano"], row["held_nano"], row["entries"]) == (755, 400, 3)


async def test_a_batch_cut_off_at_its_load_is_carried_out_once(network: Network) -> None:
    async with opened(network.location) as store:
        await store.apply(opening(1_000))
        for fate in ("cut before", "cut after"):
            network.cut(LOAD, fate)
            await done(store, grant(5, command_id=f"grant of {fate}"))
        assert (await account(store))["balance_nano"] == 1_010


@pytest.mark.parametrize("fate", ["cut before", "cut after"])
async def test_what_was_given_up_with_nobody_knowing_is_found_out_by_the_next_batch(
    network: Network, fate: Any
) -> None:
    """A hold whose caller was turned away is undone; a close that comes again has the result it had."""
    async with opened(network.location, patience_seconds=0.0) as store:
        await store.apply(opening(1_000))
        await granted(store, call("call_1"), 300)
        lost, kept = authorize(call("call_2"), 200, owner=store.owner), settle(call("call_1"), 250)
        network.cut(WRITE, fate, for_good=True)
        for _ in range(3):
            with pytest.raises(LedgerUnavailable):
                await store.apply([lost, kept])
        network.mend()
        (result,) = await store.apply([kept])
        assert (getattr(result, "charged_nano", 0), getattr(result, "replayed", True)) == (250, False)
        row = await account(store)
        assert (row["balance_nano"], row["held_nano"], row["open_holds"]) == (750, 0, 0)
        assert (await store.apply([kept]))[0] != result, "what is told once is forgotten"
        receipts = await store.query("receipt_by_id", {"call_id": "call_2"})
        assert [(row["outcome"], row["charged_nano"]) for row in receipts] == (
            [("ledger_unavailable", 0)] if fate == "cut after" else []
        )


async def test_a_server_that_says_nothing_is_given_up(network: Network) -> None:
    timeouts = Timeouts(statement_seconds=0.1, spare_seconds=0.1, connect_seconds=1.0)
    async with opened(network.location, patience_seconds=0.0, timeouts=timeouts) as store:
        await store.apply(opening(1_000))
        network.cut(b"acct_1", "stall")
        with pytest.raises(LedgerUnavailable, match="the server does not answer"):
            await store.apply([grant(5, command_id="grant_2")])
        network.mend()
        assert not (await done(store, grant(5, command_id="grant_2"))).replayed


async def test_an_outage_is_waited_for_once_only(network: Network) -> None:
    """After a batch has failed the next ones are tried once each, until one succeeds."""
    slept: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds
        if seconds > 10:
            await asyncio.Event().wait()

    async with opened(network.location, patience_seconds=2.0, monotonic=lambda: now, sleep=sleep) as store:
        await store.apply(opening(1_000))
        network.cut(WRITE, "cut before", for_good=True)
        slept.clear()
        for expected in (2.0, 0.0, 0.0):
            before = now
            with pytest.raises(LedgerUnavailable):
                await store.apply([grant(5, command_id="grant_2")])
            assert expected <= now - before <= expected + 0.5
        network.mend()
        await done(store, grant(5, command_id="grant_2"))


async def test_sessions_that_are_ended_at_any_moment_lose_nothing(database: Postgres) -> None:
    """An operator, or a failover, ends the session again and again while calls are made."""
    ending = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'farebox' AND datname = current_database() AND query LIKE '%ledger_%'"
    )
    async with opened(database.location) as store:
        await store.apply(opening(1_000_000))
        calls = cuts = 0

        async def cut() -> None:
            nonlocal cuts
            while cuts < 6:
                cuts += (await tell(database.location, ending))[0][0]
                await asyncio.sleep(0.005)

        cutting = asyncio.ensure_future(cut())
        while not cutting.done():
            made = call(f"call_{calls:05}")
            await granted(store, made, 100)
            assert (await settled(store, made, 100)).charged_nano == 100
            calls += 1
        await cutting
        row = await account(store)
        assert row["balance_nano"] == 1_000_000 - 100 * calls
        assert (row["held_nano"], row["entries"]) == (0, calls + 1)


# --- a server that is killed ---


async def test_a_server_killed_during_batches_and_started_again_has_each_call_once(server: Server) -> None:
    async with opened(await new_schema_at(server.location()), patience_seconds=60.0) as store:
        await store.apply(opening(1_000_000))
        begun = asyncio.Event()

        async def work() -> None:
            for number in range(60):
                made = call(f"call_{number:03}")
                await granted(store, made, 100)
                await settled(store, made, 100)
                if number == 10:
                    begun.set()

        working = asyncio.ensure_future(work())
        for _ in range(2):
            await begun.wait()
            server.kill()
            await asyncio.to_thread(server.start)
        await working
        row = await account(store)
        assert (row["balance_nano"], row["held_nano"], row["entries"]) == (1_000_000 - 6_000, 0, 61)
        (sums,) = await store.query("account_sums", {"account_id": ACCOUNT})
        assert (sums["usage_nano"], sums["hold_count"]) == (6_000, 0)


async def test_a_server_that_stays_away_makes_the_ledger_unavailable_and_comes_back(server: Server) -> None:
    location = await new_schema_at(server.location())
    async with opened(location, patience_seconds=0.05) as store:
        await store.apply(opening(1_000))
        server.kill()
        try:
            with pytest.raises(LedgerUnavailable, match=r"^postgresql:///postgres: "):
                await store.apply([grant(5, command_id="grant_2")])
            with pytest.raises(LedgerUnavailable):
                await store.caller_by_digest("digest")
            with pytest.raises(LedgerUnavailable):
                await store.orphans(NOON_US)
            with pytest.raises(StorageFault):
                await postgres_at(location).open()
        finally:
            await asyncio.to_thread(server.start)
        assert await store.caller_by_digest("digest") is None
        await done(store, grant(5, command_id="grant_2"))
