"""Who is gone on PostgreSQL: who says so, who is dead on this machine, and who let a lease run out."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg

from proxy.ledger.commands import Settled
from proxy.storage.postgres.store import MONTHS_SECONDS
from tests.sources import ROOT
from tests.storage.beats import Beats
from tests.storage.engines import Postgres, opened, tell
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    account,
    authorize,
    call,
    expect,
    granted,
    opening,
    recover,
    settle,
)

LEASE_OVER = "UPDATE owners SET lease_until = clock_timestamp() - INTERVAL '1 second'"
LONG_IN_TOUCH = "UPDATE owners SET in_touch_since = clock_timestamp() - INTERVAL '1 hour'"
END_SESSIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'farebox' "
    "AND datname = current_database()"
)


def start(location: str, folder: Path) -> subprocess.Popen[str]:
    """Another process, which makes a hold and waits; its file is in a folder that goes with the test."""
    command = [sys.executable, "-m", "tests.storage.other_process", location, "hold", "100"]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


async def test_holds_of_a_killed_process_are_orphans_at_once_and_those_of_live_ones_are_not(
    database: Postgres, tmp_path: Path
) -> None:
    """On one machine no lease has to end: the system has released the lock on the process's file."""
    async with opened(database.location) as store:
        await store.apply(opening(1_000))
        await granted(store, call("call_mine"), 100)
        others = [start(database.location, tmp_path) for _ in range(2)]
        try:
            lines = [await asyncio.to_thread(other.stdout.readline) for other in others if other.stdout]
            names = list(map(str.strip, lines))
            assert len({store.owner, *names}) == 3
            assert await store.orphans(NOON_US) == []
            others[0].kill()
            others[0].wait()
            (orphan,) = await store.orphans(NOON_US)
            assert (orphan.owner, orphan.id) == (names[0], f"call_{names[0]}")
        finally:
            for other in others:
                other.kill()
                other.communicate()


async def test_a_process_elsewhere_is_gone_when_its_lease_is_over(database: Postgres, tmp_path: Path) -> None:
    async with opened(database.location) as here, opened(database.location) as there:
        await here.apply(opening(1_000))
        await granted(there, call("call_1"), 100)
        await tell(database.location, LONG_IN_TOUCH)
        assert await here.orphans(NOON_US) == []
        await tell(database.location, f"{LEASE_OVER} WHERE name = '{there.owner}'")
        assert [hold.id for hold in await here.orphans(NOON_US)] == ["call_1"]


async def test_an_outage_of_the_database_makes_nobody_gone(database: Postgres) -> None:
    """All leases have run out: the first process that comes back must not judge, as the others follow."""
    async with opened(database.location) as one, opened(database.location) as two:
        await one.apply(opening(1_000))
        await granted(two, call("call_1"), 100)
        await tell(database.location, LONG_IN_TOUCH)
        await tell(database.location, LEASE_OVER)
        assert await one.orphans(NOON_US) == []
        assert await two.orphans(NOON_US) == []
        await tell(database.location, LONG_IN_TOUCH)
        assert await one.orphans(NOON_US) == []
        await expect(two, Settled, settle(call("call_1"), 90))
        assert (await account(one))["balance_nano"] == 910


async def test_a_process_that_has_just_begun_judges_nobody_by_leases(database: Postgres) -> None:
    async with opened(database.location) as one:
        await one.apply(opening(1_000))
        await granted(one, call("call_1"), 100)
        await tell(database.location, LEASE_OVER)
        async with opened(database.location) as two:
            assert await two.orphans(NOON_US) == []
            await tell(database.location, f"{LONG_IN_TOUCH} WHERE name = '{two.owner}'")
            assert [hold.id for hold in await two.orphans(NOON_US)] == ["call_1"]


async def test_sessions_that_are_lost_say_nothing_about_processes(database: Postgres) -> None:
    """A server that is started again ends every session, of processes that all live."""
    async with opened(database.location) as one, opened(database.location) as two:
        await one.apply(opening(1_000))
        await granted(two, call("call_1"), 100)
        name = two.owner
        await tell(database.location, END_SESSIONS)
        assert await one.orphans(NOON_US) == []
        await granted(two, call("call_2"), 100)
        assert two.owner == name
        assert await one.orphans(NOON_US) == []


async def test_a_process_found_gone_in_error_goes_on_under_a_new_name(database: Postgres) -> None:
    """Its next hold is under a name that is alive, though the command was made for the old one."""
    async with opened(database.location) as one, opened(database.location) as two:
        await one.apply(opening(1_000))
        old_name = two.owner
        await granted(two, call("call_1"), 100)
        await tell(database.location, LONG_IN_TOUCH)
        await tell(database.location, f"{LEASE_OVER} WHERE name = '{old_name}'")
        (orphan,) = await one.orphans(NOON_US)
        late = authorize(call("call_2"), 100, owner=old_name)
        await two.apply([late])
        assert two.owner != old_name
        assert [hold.id for hold in await one.orphans(NOON_US)] == ["call_1"]
        rows = await two.query("holds_page", {"account_id": "", "state": "open", "cursor": "", "limit": 9})
        assert {row["id"]: row["owner"] for row in rows} == {"call_1": old_name, "call_2": two.owner}
        await expect(one, Settled, recover(orphan.call))
        replay = await expect(two, Settled, settle(orphan.call, 90))
        assert (replay.replayed, replay.charged_nano) == (True, 0), (
            "the call is closed once, whoever comes first"
        )
        assert (await account(one))["balance_nano"] == 1_000


async def test_nobody_recovers_what_is_his_own(database: Postgres) -> None:
    async with opened(database.location) as one, opened(database.location) as two:
        await one.apply(opening(1_000))
        await granted(two, call("call_1"), 100)
        await tell(database.location, LONG_IN_TOUCH)
        await tell(database.location, f"{LEASE_OVER} WHERE name = '{two.owner}'")
        assert len(await one.orphans(NOON_US)) == 1
        assert await two.orphans(NOON_US) == []


async def test_a_lease_is_extended_and_an_idle_transaction_ended_from_time_to_time(
    database: Postgres,
) -> None:
    beats = Beats(10.0)
    lease = "SELECT lease_until > clock_timestamp() + INTERVAL '30 seconds' FROM owners"
    async with opened(database.location, lease_seconds=60.0, sleep=beats.sleep) as store:
        await beats.first()
        await store.apply(opening(1_000))
        await tell(database.location, LEASE_OVER)
        await beats.beat()
        assert await tell(database.location, lease) == [(True,)]
        assert store._batches is not None
        connection = store._batches._connection
        assert connection is not None
        assert connection.is_in_transaction(), "a batch has just been there"
        await beats.beat()
        assert not connection.is_in_transaction()
        await granted(store, call("call_1"), 100)


async def test_an_outage_ends_no_lease_for_good(database: Postgres) -> None:
    """A beat that fails is followed by another one."""
    beats = Beats(10.0)
    async with opened(database.location, lease_seconds=60.0, sleep=beats.sleep) as store:
        await tell(database.location, "ALTER TABLE owners RENAME TO strangers")
        await beats.first()
        await beats.beat()
        await tell(database.location, "ALTER TABLE strangers RENAME TO owners")
        await tell(database.location, LEASE_OVER)
        await beats.beat()
        assert await tell(
            database.location, "SELECT name FROM owners WHERE lease_until > clock_timestamp()"
        ) == [(store.owner,)]


async def test_a_lease_is_extended_while_old_months_are_let_go_of(database: Postgres) -> None:
    """That takes as long as it takes; who is busy with it is alive."""
    months, leases = Beats(MONTHS_SECONDS), Beats(10.0)

    async def sleep(seconds: float) -> None:
        await (months if seconds == MONTHS_SECONDS else leases).sleep(seconds)

    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'retention'::REGCLASS"
    async with opened(database.location, lease_seconds=60.0, keep_months=1, sleep=sleep) as store:
        await leases.first()
        connection = await asyncpg.connect(database.location)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE retention IN ACCESS EXCLUSIVE MODE")
                months.let()
                while not await connection.fetchval(waits):
                    await asyncio.sleep(0.01)
                await tell(database.location, LEASE_OVER)
                async with asyncio.timeout(3):
                    await leases.beat()
                assert await connection.fetchval(waits), "it is still at it"
                alive = "SELECT name FROM owners WHERE lease_until > clock_timestamp()"
                assert await tell(database.location, alive) == [(store.owner,)]
        finally:
            await connection.close()


async def test_names_are_never_used_again(database: Postgres) -> None:
    names = []
    for _ in range(3):
        async with opened(database.location) as store:
            names.append(store.owner)
    assert len(set(names)) == 3
    assert await tell(database.location, "SELECT * FROM owners") == []


async def test_no_file_stays_of_a_process_that_ended(database: Postgres, tmp_path: Path) -> None:
    store = database.store()
    store._lease._folder = tmp_path
    await store.open()
    assert len(list(tmp_path.iterdir())) == 1
    await store.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_machine_without_a_place_for_files_goes_by_leases(database: Postgres, tmp_path: Path) -> None:
    async with opened(database.location) as one:
        two = database.store()
        two._lease._folder = tmp_path / "none"
        await two.open()
        try:
            await one.apply(opening(1_000))
            await granted(two, call("call_1"), 100)
            assert ("",) in await tell(database.location, "SELECT life_file FROM owners")
            assert await one.orphans(NOON_US) == []
        finally:
            await two.close()
        assert [hold.id for hold in await one.orphans(NOON_US)] == ["call_1"]
        assert (await account(one, ACCOUNT))["held_nano"] == 100
