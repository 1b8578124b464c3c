"""A ledger is copied whole, to any engine, or nothing of it is."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proxy.storage.copy import copy, expect_closed, expect_empty
from proxy.storage.database import TABLES, Chunk, Database
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.database import SqliteDatabase, SqliteTarget
from tests.storage.engines import ENGINES, Engine, Postgres, Sqlite, tell
from tests.storage.teller import NOON_US, call, granted, settle
from tests.storage.whole import database_of, differences, fill, filled, honest, tamper

NAMES = sorted(ENGINES)
FIGURED = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'migrations'
    AND reltuples >= 0
"""
"""The tables that PostgreSQL has figures of."""


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A second database, of the engine that a test is parametrized with."""
    (tmp_path / "other").mkdir()
    return ENGINES[request.param](tmp_path / "other", empty=True)


async def apart(job: Callable[[], Any]) -> Any:
    """What a job returns that waits for a database, in a thread without an event loop."""
    return await asyncio.to_thread(job)


def carry_over(source: Database, target: Database) -> dict[str, int]:
    with source.at_rest() as old, target.filling() as new:
        expect_closed(old)
        expect_empty(new)
        counts = copy(old, new, lambda _: None)
        new.commit()
    return counts


@pytest.mark.parametrize("other", NAMES, indirect=True)
async def test_every_row_arrives_as_it_was(engine: Engine, other: Engine) -> None:
    source, target = await filled(engine), database_of(other)
    counts = await apart(lambda: carry_over(source, target))
    assert other.dump() == engine.dump()
    assert counts == {table: len(rows) for table, rows in engine.dump().items()}
    assert all(counts.values())
    assert differences(target) == []


async def test_what_usage_days_sum_to_over_all_accounts_arrives_with_them(
    engine: Engine, tmp_path: Path
) -> None:
    """From whatever engine: it is not copied, but summed up anew."""
    source, copied = await filled(engine), Sqlite(tmp_path / "copied", empty=True)
    await apart(lambda: carry_over(source, database_of(copied)))
    written = Sqlite(tmp_path / "written")
    await filled(written)
    assert copied.totals() == written.totals() != []


async def test_a_server_goes_on_where_the_other_stopped(engine: Engine, tmp_path: Path) -> None:
    source, moved = await filled(engine), Sqlite(tmp_path / "moved", empty=True)
    await apart(lambda: carry_over(source, database_of(moved)))
    store = moved.store()
    await store.open()
    assert await store.orphans(NOON_US) == []
    made = call("call_later")
    assert (await granted(store, made, 500)).hold_nano == 500
    await store.apply([honest(settle(made, 300))])
    await store.close()
    assert differences(database_of(moved)) == []


async def test_receipts_go_into_the_months_they_belong_to(tmp_path: Path) -> None:
    """An engine with a partition for each month deletes a month's receipts at once."""
    source, other = await filled(Sqlite(tmp_path)), Postgres(tmp_path, empty=True)
    await apart(lambda: carry_over(source, database_of(other)))

    def since_day() -> int:
        with database_of(other).snapshot() as scan:
            (others,) = next(scan.chunks("SELECT COUNT(*) FROM receipts_other"))
            assert tuple(others) == (0,)
            return scan.receipts_since_day

    # 2024-10-01; the first call is of the 4th.
    assert await apart(since_day) == 19_997


async def test_a_table_without_rows_is_not_planned_for_as_one_that_stays_so(tmp_path: Path) -> None:
    """PostgreSQL takes figures of an empty table at their word: plans made by them suit no ledger."""
    unused, target = Sqlite(tmp_path, empty=True), Postgres(tmp_path, empty=True)
    await apart(database_of(unused).migrate)
    await apart(lambda: carry_over(database_of(unused), database_of(target)))
    assert await tell(target.location, FIGURED) == []


@pytest.mark.parametrize("other", NAMES, indirect=True)
async def test_receipts_that_were_let_go_of_are_not_missed_in_a_copy(other: Engine, tmp_path: Path) -> None:
    """Nor in a copy of the copy: since when they are complete goes with the rows."""
    engine = Postgres(tmp_path)
    source, target, store = await filled(engine), database_of(other), engine.store()
    await store.open()
    assert await store.retain(0) == 25
    await store.close()
    await apart(lambda: carry_over(source, target))
    assert differences(target) == []
    again = database_of(Sqlite(tmp_path / "again", empty=True))
    await apart(lambda: carry_over(target, again))
    assert differences(again) == []


# --- what is refused ---


async def test_a_target_that_is_not_empty_is_refused_with_what_is_there(engine: Engine) -> None:
    target = await filled(engine)
    before = engine.dump()

    def look() -> None:
        with target.filling() as new:
            expect_empty(new)

    with pytest.raises(
        StorageFault, match=r"it is not empty \(rows: accounts 2, keys 2, key_digests 2, lots 3, .*holds 25"
    ):
        await apart(look)
    assert engine.dump() == before


async def test_sums_that_were_left_over_are_refused_as_well(tmp_path: Path) -> None:
    engine = Sqlite(tmp_path)
    await filled(engine)
    target = database_of(engine)
    tamper(engine, *(f"DELETE FROM {table}" for table in reversed(TABLES)))  # noqa: S608 - names of ours.

    def look() -> None:
        with target.filling() as new:
            expect_empty(new)

    with pytest.raises(StorageFault, match=r"it is not empty \(rows: usage_totals \d+\)"):
        await apart(look)


async def test_open_holds_are_refused(engine: Engine) -> None:
    source = await filled(engine, in_flight=True)

    def look() -> None:
        with source.at_rest() as old:
            expect_closed(old)

    with pytest.raises(StorageFault, match="holds that are open: 1"):
        await apart(look)


async def test_a_ledger_that_is_served_is_refused(engine: Engine) -> None:
    """What it would write meanwhile would be in one of them only."""
    store = engine.store()
    await store.open()
    await fill(store)

    def look() -> None:
        with database_of(engine).at_rest():
            pass

    with pytest.raises(StorageFault, match=r"Farebox is running on it.* \(?owner-\d+"):
        await apart(look)
    await store.close()
    await apart(look)


async def test_a_server_that_starts_on_the_file_waits_until_it_is_read(tmp_path: Path) -> None:
    engine = Sqlite(tmp_path)
    source, store = await filled(engine), engine.store()
    opening = threading.Event()

    def read_meanwhile() -> None:
        with source.at_rest():
            opening.set()
            with pytest.raises(TimeoutError):
                asyncio.run_coroutine_threadsafe(asyncio.wait_for(opened.wait(), 0.2), loop).result(10)

    loop, opened = asyncio.get_running_loop(), asyncio.Event()
    reading = loop.run_in_executor(None, read_meanwhile)
    await asyncio.to_thread(opening.wait)
    await store.open()
    opened.set()
    await reading
    await store.close()


async def test_nobody_writes_to_the_database_until_it_is_read(tmp_path: Path) -> None:
    engine = Postgres(tmp_path)
    source = await filled(engine)

    def read_meanwhile() -> None:
        with source.at_rest():
            tamper(engine, "SET lock_timeout = '50ms'", "UPDATE accounts SET name = 'other'")

    with pytest.raises(asyncpg.LockNotAvailableError):
        await apart(read_meanwhile)


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_stays_of_a_copy_that_breaks_off(name: str, tmp_path: Path) -> None:
    source, other = await filled(Sqlite(tmp_path / "source")), ENGINES[name](tmp_path, empty=True)

    def break_off(_: int) -> None:
        raise KeyboardInterrupt

    def begin() -> None:
        with source.at_rest() as old, database_of(other).filling() as new:
            copy(old, new, break_off)

    with pytest.raises(KeyboardInterrupt):
        await apart(begin)
    assert not any(other.dump().values())


class Leaky(SqliteTarget):
    """A target that loses the last row of each chunk of a table."""

    def add(self, table: str, rows: Chunk) -> None:
        super().add(table, rows[:-1] if table == "commands" else rows)


async def test_rows_that_do_not_arrive_are_noticed(tmp_path: Path) -> None:
    source, target = await filled(Sqlite(tmp_path / "source")), SqliteDatabase(tmp_path / "target.db")

    def begin() -> None:
        with source.at_rest() as old, target.filling() as new:
            copy(old, Leaky(new._connection, target.path), lambda _: None)

    with pytest.raises(StorageFault, match="of 5 rows of commands 4 have arrived"):
        await apart(begin)


async def test_progress_is_told_by_rows(tmp_path: Path) -> None:
    source, target = await filled(Sqlite(tmp_path / "source")), SqliteDatabase(tmp_path / "target.db")
    read: list[int] = []

    def begin() -> int:
        with source.at_rest() as old, target.filling() as new:
            copy(old, new, read.append)
            return sum(map(old.count, TABLES))

    assert await apart(begin) == sum(read)
