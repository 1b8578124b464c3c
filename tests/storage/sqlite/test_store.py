"""What is particular to SQLite: the file, the other processes on it, its faults, and what it costs."""

import asyncio
import contextlib
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.ledger.commands import Sweep
from proxy.ledger.rows import Limits
from proxy.ledger.store import LedgerUnavailable
from proxy.ledger.windows import DAY_US
from proxy.storage.faults import StorageFault
from proxy.storage.owners import alone, gone
from proxy.storage.sqlite.batch import RETRY_SECONDS, SqliteBatches
from proxy.storage.sqlite.file import prepare
from proxy.storage.sqlite.store import SqliteStore
from tests.sources import ROOT
from tests.storage.engines import Sqlite
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

SLOW = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT MAX(i) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout_seconds=0.05)
    await store.open()
    yield store
    await store.close()


def start(path: Path, *words: object) -> subprocess.Popen[str]:
    """Another process that works on the database."""
    command = [sys.executable, "-m", "tests.storage.other_process", str(path), *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# --- the file ---


async def test_the_folder_is_made_and_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path}/new/folder/farebox.db")
    await store.open()
    try:
        await store.apply(opening(1))
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in store.path.parent.iterdir()}
    finally:
        await store.close()
    assert files.keys() >= {"farebox.db", "farebox.db-wal", "farebox.db.owner-0"}
    assert set(files.values()) == {0o600}


@pytest.mark.parametrize(
    "location",
    ["", ":memory:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "file:x?mode=memory", "sqlite:x"],
)
def test_a_database_that_is_no_file_is_refused(location: str) -> None:
    with pytest.raises(StorageFault, match="the ledger needs a file"):
        SqliteStore(location)


def test_a_url_with_three_slashes_is_relative_and_one_with_four_absolute() -> None:
    assert SqliteStore("sqlite:///x.db").path == Path.cwd() / "x.db"
    assert SqliteStore("sqlite:////data/x.db").path == Path("/data/x.db")


async def test_a_store_closed_while_it_opens_lets_go_of_everything(path: Path) -> None:
    store = SqliteStore(path)
    with alone(path):
        opening_up = asyncio.ensure_future(store.open())
        await asyncio.wait({opening_up}, timeout=0.01)
        closing_down = asyncio.ensure_future(store.close())
        await asyncio.wait({closing_down}, timeout=0.01)
    await asyncio.gather(opening_up, closing_down)
    assert gone(path, ["owner-0"]) == {"owner-0"}
    with pytest.raises(LedgerUnavailable, match="not open"):
        await store.orphans(NOON_US)


async def test_a_path_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("This is no folder.")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("This is no database, though it is long enough to be one. " * 20)
    with contextlib.closing(sqlite3.connect(tmp_path / "foreign.db")) as foreign:
        foreign.execute("CREATE TABLE songs (title)")
    reasons = {
        "file/farebox.db": "exists|Not a directory",
        "folder.db": "not a file",
        "text.db": "not a database",
        "foreign.db": "another program: it has the tables songs",
    }
    for name, reason in reasons.items():
        store = SqliteStore(tmp_path / name)
        with pytest.raises(StorageFault, match=f"{name}: .*({reason})"):
            await store.open()
        assert [thread for thread in threading.enumerate() if thread.name == "farebox-sync"] == []
        await store.close()


async def test_a_store_whose_close_is_cancelled_lets_go_of_everything(path: Path) -> None:
    """A thread that stays would keep the process from ending."""
    before = threading.active_count()
    store = SqliteStore(path)
    await store.open()
    reading = asyncio.ensure_future(store._readers.fetch(SLOW))
    closing_down = asyncio.ensure_future(store.close())
    await asyncio.wait({closing_down}, timeout=0.01)
    closing_down.cancel()
    await asyncio.gather(closing_down, reading, return_exceptions=True)
    assert gone(path, ["owner-0"]) == {"owner-0"}
    async with asyncio.timeout(10):
        while threading.active_count() > before:
            await asyncio.sleep(0.001)


# --- what the schema does not allow ---


@pytest.mark.parametrize(
    "statement",
    ["UPDATE entries SET amount_nano = 1", "UPDATE entries SET note = note", "DELETE FROM entries"],
)
async def test_entries_are_immutable(store: SqliteStore, statement: str) -> None:
    await store.apply(opening(1_000))
    with (
        contextlib.closing(sqlite3.connect(store.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="entries are immutable"),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance_nano = -1",
        "UPDATE accounts SET held_nano = balance_nano + 1",
        "UPDATE accounts SET held_nano = -1",
        "UPDATE accounts SET debt_nano = balance_nano + 1",
        "UPDATE accounts SET open_holds = -1",
        "UPDATE accounts SET balance_nano = 0.5",
        "UPDATE accounts SET balance_nano = 'much'",
        "UPDATE lots SET remaining_nano = amount_nano + 1",
        "UPDATE lots SET remaining_nano = -1",
        "UPDATE buckets SET held_nano = -1",
        "UPDATE buckets SET spent_nano = -1",
        "UPDATE accounts SET spending = '[1,[[-1,0]]]'",
        "UPDATE keys SET spending = '[1,[[0,-1]]]'",
        "UPDATE throttles SET level = -1",
        "UPDATE usage_totals SET requests = -1",
        "UPDATE accounts SET spending = ''",
        "UPDATE holds SET state = 'lost'",
        "UPDATE holds SET state = 'open'",
        "UPDATE receipts SET charged_nano = charged_nano - 1",
        "UPDATE receipts SET shortfall_nano = -1",
        "INSERT INTO keys SELECT 'k', account_id, '', digest, '', 0, status, 0, '', '', 0, '', '' FROM keys",
    ],
)
async def test_the_schema_refuses_what_the_rules_never_do(store: SqliteStore, statement: str) -> None:
    await store.apply(opening(1_000, limits=Limits(rpm=5)))
    await granted(store, call("call_1"), 100)
    await settled(store, call("call_1"), 100)
    await granted(store, call("call_2", at_us=NOON_US + DAY_US), 100)
    with (
        contextlib.closing(sqlite3.connect(store.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"constraint|cannot store"),
    ):
        connection.execute(statement)


async def test_a_key_needs_its_account(path: Path) -> None:
    with contextlib.closing(prepare(path, busy_timeout_seconds=1)) as writer:
        names = ("journal_mode", "foreign_keys")
        assert [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in names] == ["wal", 1]


# --- faults ---


@contextlib.contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the database's log has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(path.name + "-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_makes_the_ledger_unavailable_and_loses_nothing(store: SqliteStore) -> None:
    engine = Sqlite(store.path.parent)
    await store.apply(opening(1_000))
    before = engine.dump()
    with disk_full(store.path):
        with pytest.raises(LedgerUnavailable, match=r"farebox\.db: .*(full|I/O)"):
            await store.apply([grant(5, command_id=f"grant_{n}") for n in range(2, 200)])
        assert engine.dump() == before
    await done(store, grant(5, command_id="grant_2"))
    assert (await account(store))["balance_nano"] == 1_005


async def test_while_the_disk_is_full_no_batch_succeeds_that_has_nothing_to_write(store: SqliteStore) -> None:
    """Such a batch is how callers find out whether the ledger can be written: it cannot."""
    await store.apply(opening(1_000))
    nothing = Sweep("", 0)
    with disk_full(store.path):
        for commands in ([grant(5, command_id="grant_2")], [nothing], [nothing]):
            with pytest.raises(LedgerUnavailable):
                await store.apply(commands)
    assert len(await store.apply([nothing])) == 1
    log = store.path.with_name(store.path.name + "-wal")
    size = log.stat().st_size
    await store.apply([nothing])
    assert log.stat().st_size == size, "all is well again, and nothing has to be proved"


async def test_a_batch_waits_for_another_process_and_gives_up_in_the_end(store: SqliteStore) -> None:
    await store.apply(opening(1_000))
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            await store.apply([grant(5, command_id="grant_2")])
        assert (await account(store))["balance_nano"] == 1_000, "reading waits for nobody"
        other.execute("ROLLBACK")
    await done(store, grant(5, command_id="grant_2"))


async def test_a_batch_begins_as_soon_as_the_other_one_is_done(path: Path) -> None:
    with (
        contextlib.closing(prepare(path, busy_timeout_seconds=1)) as writer,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                other.execute("COMMIT")

        batches = SqliteBatches(writer, keep_rows=9, busy_timeout_seconds=1, monotonic=lambda: 0, sleep=sleep)
        other.execute("BEGIN IMMEDIATE")
        await batches.begin()
        assert len(batches.apply(opening(1_000))) == 3
        assert slept == [RETRY_SECONDS] * 3


# --- several processes ---


async def test_of_200_calls_from_two_processes_as_many_pass_as_can_be_paid(store: SqliteStore) -> None:
    await store.apply(opening(3_700))
    others = [start(store.path, "spend", 100, 100) for _ in range(2)]
    answers = await asyncio.gather(*(asyncio.to_thread(other.communicate) for other in others))
    assert [other.returncode for other in others] == [0, 0]
    assert sum(int(answer) for answer, _ in answers) == 37
    row = await account(store)
    assert (row["balance_nano"], row["held_nano"], row["open_holds"], row["entries"]) == (0, 0, 0, 38)


async def test_holds_of_a_killed_process_are_orphans_and_those_of_live_ones_are_not(
    store: SqliteStore,
) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_mine"), 100)
    others = [start(store.path, "hold", 100) for _ in range(2)]
    try:
        owners = [await asyncio.to_thread(other.stdout.readline) for other in others if other.stdout]
        assert len({store.owner, *map(str.strip, owners)}) == 3
        assert await store.orphans(NOON_US) == []
        others[0].kill()
        others[0].wait()
        (orphan,) = await store.orphans(NOON_US)
        assert (orphan.owner, orphan.id) == (owners[0].strip(), f"call_{owners[0].strip()}")
    finally:
        for other in others:
            other.kill()
            other.communicate()


async def test_processes_that_start_at_once_agree_on_the_schema(path: Path) -> None:
    others = [start(path, "spend", 0, 1) for _ in range(4)]
    for other in others:
        await asyncio.to_thread(other.communicate)
    assert [other.returncode for other in others] == [0] * 4


async def test_a_store_opens_only_when_no_other_one_prepares_the_file(path: Path) -> None:
    store = SqliteStore(path)
    with alone(path):
        opening_up = asyncio.ensure_future(store.open())
        assert await asyncio.wait({opening_up}, timeout=0.02) == (set(), {opening_up})
    await opening_up
    await store.close()


# --- rows in memory ---


def traced(store: SqliteStore) -> list[str]:
    """The statements that the store's writing connection executes from here on."""
    statements: list[str] = []
    assert store._batches is not None
    connection = store._batches._connection
    connection.set_trace_callback(statements.append)
    return statements


def loads(statements: list[str]) -> list[str]:
    return [statement for statement in statements if statement.startswith("SELECT")]


async def test_a_store_alone_on_its_file_loads_a_row_once(store: SqliteStore) -> None:
    await store.apply(opening(1_000, limits=Limits(rpm=100, day_nano=900)))
    await granted(store, call("call_1"), 100)
    statements = traced(store)
    await settled(store, call("call_1"), 100)
    assert loads(statements) == []
    await granted(store, call("call_2"), 100)
    assert [load for load in loads(statements) if "FROM holds" not in load] == []


async def test_rows_are_loaded_again_after_another_connection_has_written(store: SqliteStore) -> None:
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 100)
    with contextlib.closing(sqlite3.connect(store.path)) as other:
        other.execute("UPDATE accounts SET name = 'Grace'")
        other.commit()
    changed = (await done(store, grant(5, command_id="grant_2"))).account
    assert changed is not None
    assert changed.name == "Grace"


async def test_no_more_rows_are_kept_than_allowed(path: Path) -> None:
    made = [call(f"call_{n}", account_id=f"acct_{n}", key_id=f"key_{n}") for n in range(5)]
    store = SqliteStore(path, keep_rows=20)
    await store.open()
    try:
        for number in range(5):
            await store.apply(opening(1_000, account_id=f"acct_{number}", key_id=f"key_{number}"))
            await granted(store, made[number], 100)
            assert store._batches is not None
            assert store._batches._rows._size() <= 20
        for number in range(5):
            assert (await settled(store, made[number], 100)).balance_nano == 900
    finally:
        await store.close()


async def test_closed_holds_spent_lots_and_commands_are_not_kept(store: SqliteStore) -> None:
    await store.apply(opening(100))
    await granted(store, call("call_1"), 100)
    await settled(store, call("call_1"), 100)
    assert store._batches is not None
    kept = store._batches._rows
    assert (kept.books.holds, kept.books.lots, kept.stored_lots) == ({}, {ACCOUNT: {}}, set())
    assert kept.books.commands == {}


async def test_a_batch_of_any_size_takes_few_statements(store: SqliteStore) -> None:
    """The threads change places at every statement, so their number must not grow with the batch."""
    await store.apply(opening(1_000_000))
    calls = [call(f"call_{number:03}", at_us=NOON_US + number) for number in range(255)]
    statements = traced(store)
    await store.apply([authorize(made, 10, owner=store.owner) for made in calls])
    await store.apply([settle(made, 10) for made in calls])
    assert len(statements) <= 50


async def test_a_batch_that_changes_nothing_writes_nothing(store: SqliteStore) -> None:
    await store.apply(opening(1_000, limits=Limits(rpm=100, day_nano=900)))
    await granted(store, call("call_1"), 100)
    statements = traced(store)
    await granted(store, call("call_1"), 100)
    assert statements == ["BEGIN IMMEDIATE", "PRAGMA data_version", "COMMIT"]
