"""PostgreSQL's schema: migrations, partitions for months, and how old months go."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proxy.ledger.commands import Grant, Settled
from proxy.ledger.windows import DAY_US
from proxy.storage.faults import StorageFault
from proxy.storage.migrate import Migration, bundled
from proxy.storage.postgres import migrate as postgres_migrate
from proxy.storage.postgres.migrate import ENGINE, make_months, migrate, months_after
from proxy.storage.postgres.retain import ALONE
from proxy.storage.postgres.session import Timeouts
from proxy.storage.postgres.store import MONTHS_SECONDS
from tests.storage.beats import Beats
from tests.storage.engines import Postgres, opened, postgres_at, tell
from tests.storage.teller import ACCOUNT, account, call, expect, granted, opening, settle, settled, void

KNOWN = bundled(ENGINE)
TODAY = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::DATE"
RECEIPTS = "SELECT tableoid::REGCLASS::TEXT, id FROM receipts ORDER BY id"


@pytest.fixture
def database(tmp_path: Path) -> Postgres:
    """One without tables."""
    return Postgres(tmp_path, empty=True)


@pytest.fixture
async def connection(database: Postgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.location)
    yield connection
    await connection.close()


def migration(number: int, sql: str) -> Migration:
    return Migration(number, f"{number:03}_step", sql, hashlib.sha256(sql.encode()).hexdigest())


SONGS = migration(1, "CREATE TABLE songs (title TEXT);\nINSERT INTO songs VALUES ('One; two');\n")
YEARS = migration(2, "ALTER TABLE songs ADD COLUMN year BIGINT;\n")


async def columns(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
    )
    return [tuple(row) for row in rows]


# --- migrations ---


async def test_each_migration_is_applied_once_and_in_order(connection: asyncpg.Connection) -> None:
    assert await migrate(connection, [SONGS]) == [1]
    assert await migrate(connection, [SONGS, YEARS]) == [2]
    assert await migrate(connection, [SONGS, YEARS]) == []
    assert [tuple(row) for row in await connection.fetch("TABLE songs")] == [("One; two", None)]


async def test_a_step_that_fails_leaves_nothing_of_itself(connection: asyncpg.Connection) -> None:
    await migrate(connection, [SONGS])
    before = await columns(connection)
    broken = migration(2, "ALTER TABLE songs ADD COLUMN year BIGINT;\nCREATE TABLE songs (title TEXT);\n")
    with pytest.raises(StorageFault, match='002_step failed: relation "songs" already exists'):
        await migrate(connection, [SONGS, broken])
    assert await columns(connection) == before
    assert await migrate(connection, [SONGS, YEARS]) == [2]


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (
            [SONGS],
            [migration(1, SONGS.sql + "-- A word more.\n")],
            "001_step is not the 001_step of this version",
        ),
        ([SONGS, YEARS], [SONGS], "made by a newer Farebox: it has the migration 002_step"),
    ],
)
async def test_a_database_of_another_version_is_refused(
    connection: asyncpg.Connection, before: list[Migration], now: list[Migration], reason: str
) -> None:
    await migrate(connection, before)
    with pytest.raises(StorageFault, match=reason):
        await migrate(connection, now)


async def test_another_programs_database_is_refused_and_left_alone(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TABLE films (title TEXT)")
    before = await columns(connection)
    with pytest.raises(StorageFault, match="another program: it has the tables films"):
        await migrate(connection, [SONGS])
    assert await columns(connection) == before


async def test_processes_that_start_at_once_agree_on_the_schema(database: Postgres) -> None:
    stores = [database.store() for _ in range(5)]
    try:
        await asyncio.gather(*(store.open() for store in stores))
        assert len({store.owner for store in stores}) == 5
    finally:
        for store in stores:
            await store.close()


async def test_a_process_that_starts_waits_for_another_ones_migration(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """However much longer that takes than any statement of its own may."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    store = postgres_at(database.location, timeouts=Timeouts(statement_seconds=0.2, spare_seconds=0.1))
    async with connection.transaction():
        await connection.execute(postgres_migrate.ALONE)
        opening_it = asyncio.ensure_future(store.open())
        while not await connection.fetchval(waits):
            await asyncio.sleep(0.01)
        await connection.execute("SELECT pg_sleep(0.5)")
    await opening_it
    await store.close()


WAITS_FOR_TABLE = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
RECEIPTS_CHANGED = migration(len(KNOWN) + 1, "ALTER TABLE receipts ADD COLUMN stars BIGINT;\n")


async def test_a_migration_beside_a_long_read_does_not_keep_batches_waiting(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """It asks again and again, and goes through when the read is over."""
    async with opened(database.location) as store:
        await store.apply(opening(1_000))
        await connection.execute("BEGIN; SELECT FROM receipts")
        other = await asyncpg.connect(database.location)
        migrating = asyncio.ensure_future(migrate(other, [*KNOWN, RECEIPTS_CHANGED]))
        while not await connection.fetchval(WAITS_FOR_TABLE):
            await asyncio.sleep(0.01)
        await granted(store, call("call_1"), 100)
        await settled(store, call("call_1"), 10)
        assert not migrating.done()
        await connection.execute("ROLLBACK")
        assert await migrating == [RECEIPTS_CHANGED.number]
        await granted(store, call("call_2"), 100)
        await other.close()


async def test_a_migration_that_finds_no_room_says_who_is_in_its_way(
    database: Postgres, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_migrate, "ROOM_TRIES", 2)
    monkeypatch.setattr(postgres_migrate, "HURRIED", "SET LOCAL lock_timeout = '10ms'")
    monkeypatch.setattr(postgres_migrate, "ROOM_PAUSE_SECONDS", 0)
    async with opened(database.location):
        await connection.execute("BEGIN; SELECT FROM receipts")
        other = await asyncpg.connect(database.location)
        with pytest.raises(StorageFault, match="tables are in use by others all the time; end long reads"):
            await migrate(other, [*KNOWN, RECEIPTS_CHANGED])
        await connection.execute("ROLLBACK")
        assert await migrate(other, KNOWN) == []
        await connection.execute(f"BEGIN; {postgres_migrate.ALONE}")
        monkeypatch.setattr(postgres_migrate, "_PATIENT", "SET LOCAL lock_timeout = '10ms'")
        with pytest.raises(StorageFault, match="another process has been changing its schema for 60 seconds"):
            await migrate(other, KNOWN)
        await other.close()


# --- months ---


@pytest.mark.parametrize(
    ("count", "month"),
    [(0, (2026, 11)), (1, (2026, 12)), (2, (2027, 1)), (-10, (2026, 1)), (-11, (2025, 12)), (14, (2028, 1))],
)
def test_months_are_counted_over_years(count: int, month: tuple[int, int]) -> None:
    assert months_after(date(2026, 11, 1), count) == date(*month, 1)


async def test_a_store_makes_this_month_and_those_to_come(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    async with opened(database.location):
        pass
    today = await connection.fetchval(TODAY)
    names = await connection.fetch(
        "SELECT relid::TEXT FROM pg_partition_tree('receipts') WHERE isleaf ORDER BY 1"
    )
    months = [f"receipts_{months_after(today, ahead):%Y_%m}" for ahead in range(3)]
    assert [name for (name,) in names] == [*months, "receipts_other"]


async def test_a_store_that_runs_for_long_makes_the_months_that_come(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    beats, now = Beats(MONTHS_SECONDS), 0.0
    async with opened(database.location, sleep=beats.sleep, monotonic=lambda: now):
        await beats.first()
        missing = await last_month(connection)
        await connection.execute(f"DROP TABLE {missing}")
        for now in (3_600.0, 90_000.0):  # noqa: B007 - it is the clock.
            before = await last_month(connection)
            await beats.beat()
        assert before < await last_month(connection) == missing


async def test_a_month_nobody_prepared_fails_no_call_and_its_receipts_move_when_it_is_made(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    async with opened(database.location) as store:
        today = await connection.fetchval(TODAY)
        for number, ahead in enumerate((0, 3)):
            at_us = (months_after(today, ahead) - date(1970, 1, 1)).days * DAY_US
            made = call(f"call_{number}", at_us=at_us)
            if not number:
                await store.apply(opening(1_000))
            await granted(store, made, 100)
            await settled(store, made, 10)
        near, far = (f"receipts_{months_after(today, ahead):%Y_%m}" for ahead in (0, 3))
        assert await tell(database.location, RECEIPTS) == [(near, "call_0"), ("receipts_other", "call_1")]
        await connection.execute("SELECT ledger_make_month($1)", months_after(today, 3))
        await connection.execute("SELECT ledger_make_month($1)", months_after(today, 3))
        assert await tell(database.location, RECEIPTS) == [(near, "call_0"), (far, "call_1")]
        (row,) = await store.query("receipt_by_id", {"call_id": "call_1"})
        assert row["charged_nano"] == 10


async def test_whoever_reads_receipts_at_length_does_not_keep_batches_waiting(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """A month that cannot be made beside it is made another time."""
    async with opened(database.location) as store:
        await store.apply(opening(1_000))
        await connection.execute("DROP TABLE " + (await last_month(connection)))
        await connection.execute("BEGIN; SELECT FROM receipts")
        other = await asyncpg.connect(database.location)
        making = asyncio.ensure_future(make_months(other))
        await granted(store, call("call_1"), 100)
        await settled(store, call("call_1"), 10)
        await making
        await connection.execute("ROLLBACK")
        missing = await last_month(connection)
        await make_months(other)
        await other.close()
        assert missing < await last_month(connection)


async def last_month(connection: asyncpg.Connection) -> str:
    name: str = await connection.fetchval(
        "SELECT max(relid::TEXT) FROM pg_partition_tree('receipts') WHERE relid::TEXT LIKE 'receipts\\_2%'"
    )
    return name


# --- retention ---


async def test_old_months_go_with_their_holds_and_nothing_else_does(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """Entries, balances and the sums of days stay; an audit knows since when receipts are complete."""
    today = await connection.fetchval(TODAY)
    async with opened(database.location) as store:
        await store.apply(opening(1_000))
        ages = {"call_0": -4, "call_1": -3, "call_2": -2, "call_3": -1, "call_4": 0}
        for ahead in (-4, -2):
            await connection.execute("SELECT ledger_make_month($1)", months_after(today, ahead))
        for id_, ahead in ages.items():
            made = call(id_, at_us=(months_after(today, ahead) - date(1970, 1, 1)).days * DAY_US)
            await store.apply([Grant(ACCOUNT, f"grant of {id_}", f"lot of {id_}", 5, made.started_at_us)])
            await granted(store, made, 100)
            if id_ == "call_1":
                await store.apply([void(made)])
            else:
                await settled(store, made, 10)
            opened_only = call(f"{id_}_open", at_us=made.started_at_us)
            await granted(store, opened_only, 10)
        before = database.dump()
        assert await store.retain(1) == 3
        after = database.dump()
        assert [row[0] for row in after["receipts"]] == ["call_3", "call_4"]
        assert [row[0] for row in after["holds"] if row[5] != "open"] == ["call_3", "call_4"]
        assert [row[0] for row in after["holds"] if row[5] == "open"] == [f"{id_}_open" for id_ in ages]
        assert {name: rows for name, rows in after.items() if name not in {"receipts", "holds"}} == {
            name: rows for name, rows in before.items() if name not in {"receipts", "holds"}
        }
        assert await store.query("receipt_by_id", {"call_id": "call_0"}) == []
        since = await connection.fetchval("SELECT receipts_since_day FROM retention")
        assert since == (months_after(today, -1) - date(1970, 1, 1)).days
        assert await store.retain(1) == 0
        # A call of an old month that is still open can be closed, and goes the next time.
        late = call("call_0_open", at_us=(months_after(today, -4) - date(1970, 1, 1)).days * DAY_US)
        await expect(store, Settled, settle(late, 5))
        assert await store.retain(1) == 1
        (sums,) = await store.query("account_sums", {"account_id": ACCOUNT})
        assert sums["charges_nano"] == sums["usage_nano"] == 45
        assert (await account(store))["balance_nano"] == 1_025 - 45


async def test_a_store_lets_old_receipts_go_by_itself_and_alone(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """Soon after it was opened and every day; while another process is at it, it leaves it to that one."""
    beats, now = Beats(MONTHS_SECONDS), 0.0

    async def beat() -> int:
        await beats.beat()
        return len(await connection.fetch(RECEIPTS))

    today = await connection.fetchval(TODAY)
    async with opened(database.location, sleep=beats.sleep, monotonic=lambda: now, keep_months=1) as store:
        await beats.first()
        await store.apply(opening(1_000))
        for number, age in enumerate((-3, -2, -1, 0)):
            at_us = (months_after(today, age) - date(1970, 1, 1)).days * DAY_US
            await connection.execute("SELECT ledger_make_month($1)", months_after(today, age))
            made = call(f"call_{number}", at_us=at_us)
            await granted(store, made, 100)
            await settled(store, made, 10)
        await connection.execute(ALONE)
        assert await beat() == 4
        await connection.execute("SELECT pg_advisory_unlock_all()")
        now = 3_600.0
        assert await beat() == 4
        now = 90_000.0
        assert await beat() == 2


async def test_retention_goes_on_where_it_was_broken_off(
    database: Postgres, connection: asyncpg.Connection
) -> None:
    """The holds of a month may be gone before its receipts are."""
    today = await connection.fetchval(TODAY)
    month = months_after(today, -2)
    async with opened(database.location) as store:
        await connection.execute("SELECT ledger_make_month($1)", month)
        await store.apply(opening(1_000))
        for number in range(3):
            made = call(f"call_{number}", at_us=(month - date(1970, 1, 1)).days * DAY_US)
            await granted(store, made, 100)
            await settled(store, made, 10)
        await connection.execute("DELETE FROM holds WHERE id < 'call_2'")
        assert await store.retain(0) == 3
        assert (await connection.fetch(RECEIPTS), database.dump()["holds"]) == ([], [])
