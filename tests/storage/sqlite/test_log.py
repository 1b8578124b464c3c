"""The write-ahead log: nothing is answered before the disk has it, and it does not grow without end."""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from proxy.ledger.store import LedgerUnavailable
from proxy.storage.sqlite.log import CHECKPOINT_COMMITS
from proxy.storage.sqlite.store import SqliteStore
from tests.storage.teller import grant, opening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


async def test_a_batch_is_answered_only_when_the_disk_has_it(path: Path) -> None:
    """The log itself is synced, after the commit and before the answer."""
    disk, synced = threading.Event(), []

    def sync(file: int) -> None:
        disk.wait(10)
        synced.append(Path(f"/proc/self/fd/{file}").resolve().name)

    store = SqliteStore(path, sync=sync)
    await store.open()
    try:
        batch = asyncio.ensure_future(store.apply(opening(1_000)))
        with contextlib.closing(sqlite3.connect(path)) as reader:
            while not reader.execute("SELECT 1 FROM accounts").fetchone():
                await asyncio.sleep(0)
        assert not batch.done()
        disk.set()
        assert len(await batch) == 3
        assert synced == [f"{path.name}-wal"]
    finally:
        await store.close()


async def test_after_a_disk_failed_nothing_is_carried_out_any_more(path: Path) -> None:
    """A later sync that succeeds does not prove that what failed before was written."""
    faults = [OSError(5, "Input/output error")]

    def sync(file: int) -> None:
        assert file
        if faults:
            raise faults.pop()

    store = SqliteStore(path, sync=sync)
    await store.open()
    try:
        with pytest.raises(LedgerUnavailable, match="Input/output"):
            await store.apply(opening(1_000))
        with pytest.raises(LedgerUnavailable, match="restart"):
            await store.apply([grant(5, command_id="grant_2")])
    finally:
        await store.close()


async def test_the_log_is_copied_into_the_database_now_and_then(path: Path) -> None:
    """However many batches there are, the log does not grow without end."""
    store = SqliteStore(path, sync=lambda _: None)
    await store.open()
    try:
        await store.apply(opening(10**9))
        for number in range(2 * CHECKPOINT_COMMITS):
            await store.apply([grant(1, command_id=f"grant_{number}")])
        size = Path(f"{path}-wal").stat().st_size
        for number in range(4 * CHECKPOINT_COMMITS):
            await store.apply([grant(1, command_id=f"more_{number}")])
        assert Path(f"{path}-wal").stat().st_size < 2 * size
    finally:
        await store.close()
