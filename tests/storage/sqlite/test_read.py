"""Reads of a SQLite file: side by side, broken off when nobody waits, ended before the file is released."""

import asyncio
import contextlib
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.ledger.store import LedgerUnavailable
from proxy.storage.sqlite.file import prepare
from proxy.storage.sqlite.read import SqliteReaders
from proxy.storage.sqlite.store import SqliteStore
from tests.storage.teller import call, granted, opening

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
SHORT = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT MAX(i) AS last FROM n
"""
PATIENCE_SECONDS = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "farebox.db"
    prepare(path, busy_timeout_seconds=1).close()
    return path


@pytest.fixture
async def readers(path: Path) -> AsyncIterator[SqliteReaders]:
    """Two connections."""
    readers = SqliteReaders(path, connections=2, busy_timeout_seconds=1)
    await readers.open()
    yield readers
    await readers.close()


Reads = Sequence[asyncio.Future[list[sqlite3.Row]]]


async def begun(readers: SqliteReaders, count: int) -> Reads:
    """So many reads that never end by themselves, all of which have been asked for."""
    reads: Reads = [asyncio.ensure_future(readers.fetch(ENDLESS)) for _ in range(count)]
    while not readers._idle.empty():
        await asyncio.sleep(0)
    return reads


async def broken_off(reads: Reads) -> None:
    for read in reads:
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read


async def ended(threads: int) -> None:
    """Wait until there are so many threads only: one that has closed its connection takes a moment to end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while threading.active_count() > threads:
            await asyncio.sleep(0.001)


async def test_an_open_that_is_cancelled_leaves_no_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer to a loop that may have ended by then."""
    held, connect = threading.Event(), sqlite3.connect

    def slow(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        held.wait(PATIENCE_SECONDS)
        connection: sqlite3.Connection = connect(*args, **kwargs)
        return connection

    threads = threading.active_count()
    readers = SqliteReaders(path, connections=2, busy_timeout_seconds=1)
    monkeypatch.setattr(sqlite3, "connect", slow)
    opening = asyncio.ensure_future(readers.open())
    while threading.active_count() == threads:
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.sleep(0)
    assert not opening.done()
    held.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await ended(threads)


async def test_a_row_has_its_columns_by_name_and_in_order(readers: SqliteReaders) -> None:
    (row,) = await readers.fetch("SELECT :a AS a, 2 AS b", {"a": "x"})
    assert (dict(row), tuple(row)) == ({"a": "x", "b": 2}, ("x", 2))
    (row,) = await readers.fetch("SELECT ? AS a", (1,))
    assert dict(row) == {"a": 1}


async def test_a_connection_for_reading_cannot_write(readers: SqliteReaders) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await readers.fetch("DELETE FROM keys")


async def test_a_long_read_keeps_no_other_waiting_while_a_connection_is_free(readers: SqliteReaders) -> None:
    long = asyncio.ensure_future(readers.fetch(ENDLESS))
    await asyncio.sleep(0)
    for _ in range(3):
        assert dict((await readers.fetch(SHORT))[0]) == {"last": 100_000}
    assert not long.done()
    await broken_off([long])


async def test_more_reads_than_connections_are_answered_in_turn(readers: SqliteReaders) -> None:
    answers = await asyncio.gather(*(readers.fetch("SELECT ? AS a", (number,)) for number in range(20)))
    assert [row["a"] for (row,) in answers] == list(range(20))


async def test_a_read_that_is_cancelled_frees_its_connection(readers: SqliteReaders) -> None:
    """It would go on for ever otherwise, and every later read on its connection would wait for it."""
    for _ in range(3):
        await broken_off(await begun(readers, 2))
        async with asyncio.timeout(PATIENCE_SECONDS):
            both = await asyncio.gather(readers.fetch(SHORT), readers.fetch(SHORT))
        assert [row["last"] for (row,) in both] == [100_000] * 2


async def test_nobody_hears_of_the_fault_that_breaks_off_a_cancelled_read(readers: SqliteReaders) -> None:
    """The loop would write it into the log, as a fault of a future that nobody has looked at."""
    heard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    await broken_off(await begun(readers, 2))
    await readers.fetch(SHORT)
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []


async def test_a_read_that_was_cancelled_keeps_no_snapshot(path: Path, readers: SqliteReaders) -> None:
    """A snapshot keeps the log from starting anew, so that it grows."""
    read = f"SELECT COUNT(*) FROM sqlite_schema AS a, ({ENDLESS}) AS b"  # noqa: S608 - it is a constant.
    for seconds in (0, 0.05):
        reading = asyncio.ensure_future(readers.fetch(read))
        await asyncio.sleep(seconds)
        await broken_off([reading])
    with contextlib.closing(prepare(path, busy_timeout_seconds=PATIENCE_SECONDS)) as writer:
        writer.execute("CREATE TABLE songs (title TEXT)")
        assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def test_a_read_that_fails_leaves_its_connection_as_it_was(readers: SqliteReaders) -> None:
    for _ in range(4):
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await readers.fetch("SELECT * FROM songs")
    assert [tuple(row) for row in await readers.fetch("SELECT 1")] == [(1,)]


async def test_reads_that_were_asked_for_end_before_the_file_is_released(path: Path) -> None:
    before = threading.active_count()
    readers = SqliteReaders(path, connections=2, busy_timeout_seconds=1)
    await readers.open()
    asked = [asyncio.ensure_future(readers.fetch(SHORT)) for _ in range(6)]
    await asyncio.sleep(0)
    await readers.close()
    assert [row["last"] for read in asked for row in read.result()] == [100_000] * 6
    with pytest.raises(LedgerUnavailable, match="not open"):
        await readers.fetch("SELECT 1")
    await readers.close()
    await ended(before)


async def test_a_read_that_takes_too_long_is_broken_off_and_told(path: Path) -> None:
    """Its connection serves the next one; a wait for a connection counts, too."""
    readers = SqliteReaders(path, connections=1, busy_timeout_seconds=1, read_seconds=0.05)
    await readers.open()
    try:
        for _ in range(2):
            long, waits = (asyncio.ensure_future(readers.fetch(ENDLESS)) for _ in range(2))
            for read in (long, waits):
                with pytest.raises(LedgerUnavailable, match=r"took longer than 0\.05 seconds"):
                    await read
            assert [tuple(row) for row in await readers.fetch("SELECT 1")] == [(1,)]
    finally:
        await readers.close()


async def test_no_report_keeps_a_key_waiting(path: Path) -> None:
    """However many of them go on, and however long they take."""
    store = SqliteStore(path, readers=2)
    await store.open()
    try:
        await store.apply(opening(1_000))
        reports = [asyncio.ensure_future(store._read(ENDLESS)) for _ in range(6)]
        while not store._readers._idle.empty():
            await asyncio.sleep(0)
        for _ in range(20):
            key = await store.caller_by_digest("digest of key_1")
            assert key is not None
        assert not any(report.done() for report in reports)
        await broken_off(reports)
        assert await store.caller_by_digest("nobody's") is None
    finally:
        await store.close()


async def test_a_report_that_takes_too_long_leaves_the_ledger_as_it_is(path: Path) -> None:
    """It is refused as `ledger_unavailable`; keys are found, and batches carried out."""
    store = SqliteStore(path, readers=2, read_seconds=0.05)
    await store.open()
    try:
        await store.apply(opening(1_000))
        told = await asyncio.gather(*(store._read(ENDLESS) for _ in range(4)), return_exceptions=True)
        assert [type(error) for error in told] == [LedgerUnavailable] * 4
        assert await store.caller_by_digest("digest of key_1") is not None
        await granted(store, call("call_1"), 100)
    finally:
        await store.close()


async def test_what_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    readers = SqliteReaders(tmp_path / "no_folder" / "farebox.db", connections=2, busy_timeout_seconds=1)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await readers.open()
    with pytest.raises(LedgerUnavailable, match="not open"):
        await readers.fetch("SELECT 1")
    await readers.close()
    await ended(before)
