"""A backup is whole, checked and durable, or there is none; and no writer waits for it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from proxy.ledger.store import Store
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.backup import backup
from proxy.storage.sqlite.database import SqliteDatabase
from proxy.storage.sqlite.store import SqliteStore
from tests.storage.engines import Sqlite
from tests.storage.teller import NOON_US, opening
from tests.storage.whole import FUNDS_NANO, differences, fill, filled


@pytest.fixture
def engine(tmp_path: Path) -> Sqlite:
    """A database in a folder of its own, beside that of the backups."""
    (tmp_path / "ledger").mkdir()
    return Sqlite(tmp_path / "ledger", empty=True)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "farebox.db"


def take(source: Path, destination: Path, *, force: bool = False) -> dict[str, int]:
    return backup(source, destination, force=force, on_pages=lambda *_: None)


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process writes calls to the file all the while."""
    command = [sys.executable, "-m", "tests.storage.whole", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.stdin.close()
        assert int(process.stdout.readline()) > 0
    assert process.returncode == 0


async def test_a_backup_has_every_row_and_no_difference(engine: Sqlite, destination: Path) -> None:
    await filled(engine, in_flight=True)
    counts = take(engine.path, destination)
    copy = Sqlite(destination.parent)
    assert copy.dump() == engine.dump()
    assert {table: len(rows) for table, rows in engine.dump().items()} == counts
    assert differences(SqliteDatabase(destination)) == []


async def test_what_only_the_log_has_is_in_the_backup(engine: Sqlite, destination: Path) -> None:
    """The server runs, and nothing of what it has written has been copied into the file yet."""
    store = SqliteStore(engine.path)
    await store.open()
    await fill(store)
    assert engine.path.with_name("farebox.db-wal").stat().st_size > engine.path.stat().st_size
    take(engine.path, destination)
    assert Sqlite(destination.parent).dump() == engine.dump()
    await store.close()


async def test_a_backup_is_of_one_instant_while_a_process_writes(engine: Sqlite, destination: Path) -> None:
    """Small steps, between which others commit: none of them makes it begin anew."""
    store = SqliteStore(engine.path)
    await store.open()
    await store.apply(opening(FUNDS_NANO))
    await store.close()
    with writing(engine.path):
        for number in range(5):
            steps = Mock()
            file = destination.with_name(f"{number}.db")
            backup(engine.path, file, force=False, on_pages=steps, step_pages=2)
            done = [call.args for call in steps.call_args_list]
            assert done == [(min(2 * step, total), total) for step, (_, total) in enumerate(done, 1)]
            assert done[-1][0] == done[-1][1]
            assert await asyncio.to_thread(differences, SqliteDatabase(file)) == []
            assert await asyncio.to_thread(differences, SqliteDatabase(engine.path)) == []
    await asyncio.to_thread(take, engine.path, destination)
    assert Sqlite(destination.parent).dump() == engine.dump()


async def test_a_server_can_start_on_a_backup(engine: Sqlite, destination: Path) -> None:
    """It recovers the calls that were in flight."""
    await filled(engine, in_flight=True)
    take(engine.path, destination)
    store: Store = SqliteStore(destination)
    await store.open()
    assert [hold.id for hold in await store.orphans(NOON_US)] == ["call_99"]
    await store.close()


async def test_a_backup_is_for_its_owner_only_and_has_nothing_beside_it(
    engine: Sqlite, destination: Path
) -> None:
    await filled(engine)
    old = os.umask(0)
    try:
        take(engine.path, destination)
    finally:
        os.umask(old)
    assert list(destination.parent.iterdir()) == [destination]
    assert destination.stat().st_mode & 0o777 == 0o600


# --- what is refused ---


async def test_a_file_that_is_there_is_replaced_by_force_only(engine: Sqlite, destination: Path) -> None:
    await filled(engine)
    destination.write_text("something dear")
    with pytest.raises(StorageFault, match="it exists already; --force replaces it"):
        take(engine.path, destination)
    assert destination.read_text() == "something dear"
    take(engine.path, destination, force=True)
    assert differences(SqliteDatabase(destination)) == []


async def test_force_does_not_replace_the_database_itself_nor_one_in_use(
    engine: Sqlite, destination: Path
) -> None:
    await filled(engine)
    destination.symlink_to(engine.path)
    with pytest.raises(StorageFault, match="this is the database itself"):
        take(engine.path, destination, force=True)
    destination.unlink()
    store = SqliteStore(destination)
    await store.open()
    with pytest.raises(StorageFault, match=r"it has a log \(farebox.db-wal\), so that it may be in use"):
        take(engine.path, destination, force=True)
    await store.close()


async def test_a_place_that_is_none_is_named(engine: Sqlite, destination: Path) -> None:
    await filled(engine)
    nowhere = destination.parent / "none" / "farebox.db"
    with pytest.raises(StorageFault, match=f"{nowhere}: there is no folder {nowhere.parent}"):
        take(engine.path, nowhere)
    with pytest.raises(StorageFault, match=f"{destination.parent}: it is not a file"):
        take(engine.path, destination.parent, force=True)


def test_what_is_no_ledger_is_not_backed_up(engine: Sqlite, destination: Path) -> None:
    with pytest.raises(StorageFault, match=f"{engine.path}: there is no such file"):
        take(engine.path, destination)
    engine.path.touch()
    with pytest.raises(StorageFault, match="it is empty; there is nothing to back up"):
        take(engine.path, destination)
    with closing(sqlite3.connect(engine.path)) as connection:
        connection.execute("CREATE TABLE films (title)")
    with pytest.raises(StorageFault, match="it is not a database of Farebox's"):
        take(engine.path, destination)
    assert list(destination.parent.iterdir()) == []


async def test_a_backup_that_breaks_off_leaves_what_was_there(engine: Sqlite, destination: Path) -> None:
    await filled(engine)
    destination.write_text("the last backup")

    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(engine.path, destination, force=True, on_pages=break_off)
    assert destination.read_text() == "the last backup"
    assert list(destination.parent.iterdir()) == [destination]


async def test_a_damaged_database_is_no_backup(engine: Sqlite, destination: Path) -> None:
    """A copy is checked before it takes the place of one that may be better."""
    await filled(engine)
    destination.write_text("the last backup")
    with engine.path.open("r+b") as file:
        for page in range(3, engine.path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\x00" * 64)
    with pytest.raises(StorageFault, match=r"malformed|damaged"):
        take(engine.path, destination, force=True)
    assert destination.read_text() == "the last backup"
    assert list(destination.parent.iterdir()) == [destination]
