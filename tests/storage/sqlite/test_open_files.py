"""The files under a store: when one of them is not the one under its name any more, the store is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.ledger.store import LedgerLost, LedgerUnavailable
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.open_files import OpenFiles
from proxy.storage.sqlite.store import FRESH_SECONDS, SqliteStore
from tests.storage.engines import Sqlite
from tests.storage.losses import LOSSES, SUFFIXES
from tests.storage.teller import call, granted, opening, settled

EACH_FILE = pytest.mark.parametrize("suffix", SUFFIXES)
EACH_WAY = pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


class Hands:
    """A monotonic clock."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def store(path: Path, hands: Hands) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, monotonic=hands, look_seconds=0.001)
    await store.open()
    await store.apply(opening(1_000))
    yield store
    with contextlib.suppress(OSError):
        await store.close()


@EACH_FILE
@EACH_WAY
async def test_no_batch_is_carried_out_on_a_file_that_nobody_will_find(
    store: SqliteStore, hands: Hands, suffix: str, lose: Callable[[Path], None]
) -> None:
    """The next batch learns of it, and every later one and every read is refused with what happened."""
    await granted(store, call("call_1"), 100)
    file = store.path.with_name(store.path.name + suffix)
    lose(file)
    hands.now += FRESH_SECONDS
    for _ in range(2):
        with pytest.raises(LedgerLost, match=f"{file} was (taken away|replaced)"):
            await settled(store, call("call_1"), 100)
        with pytest.raises(LedgerUnavailable, match=str(file)):
            await store.caller_by_digest("digest of key_1")


@EACH_FILE
@EACH_WAY
async def test_a_store_without_calls_finds_out_by_itself(
    store: SqliteStore, suffix: str, lose: Callable[[Path], None]
) -> None:
    waiting = asyncio.ensure_future(store.loss())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done, "all is well"
    file = store.path.with_name(store.path.name + suffix)
    lose(file)
    async with asyncio.timeout(10):
        assert str(file) in await waiting


async def test_a_database_that_was_emptied_is_lost(store: SqliteStore, hands: Hands) -> None:
    store.path.write_bytes(b"")
    hands.now += FRESH_SECONDS
    with pytest.raises(LedgerLost, match="was emptied"):
        await granted(store, call("call_1"), 100)


async def test_files_that_come_back_before_anybody_looks_are_the_same(store: SqliteStore) -> None:
    """A rename and back, as of a folder that is put in another place for a moment, loses nothing."""
    elsewhere = store.path.parent.rename(store.path.parent.with_name("elsewhere"))
    elsewhere.rename(store.path.parent)
    await granted(store, call("call_1"), 100)


async def test_a_busy_store_looks_once_in_a_while_and_not_with_each_batch(
    store: SqliteStore, hands: Hands
) -> None:
    assert store._files is not None
    looks, real = [], store._files.loss

    class Counted:
        def loss(self) -> str:
            looks.append(hands.now)
            return real()

    store._files = Counted()  # type: ignore[assignment]
    for number in range(20):
        await granted(store, call(f"call_{number}"), 1)
        hands.now += FRESH_SECONDS / 10
    assert len(looks) <= 3


@EACH_WAY
async def test_what_was_acknowledged_outlives_the_loss_of_the_log(
    path: Path, lose: Callable[[Path], None]
) -> None:
    """The process has the log open still, and copies it into the database when it ends."""
    store = SqliteStore(path)
    await store.open()
    await store.apply(opening(1_000))
    await granted(store, call("call_1"), 100)
    await settled(store, call("call_1"), 100)
    before = Sqlite(path.parent).dump()
    lose(path.with_name(path.name + "-wal"))
    with contextlib.suppress(OSError):
        await store.close()
    for file in path.parent.glob("farebox.db-*"):
        file.unlink() if file.is_file() else file.rmdir()
    assert Sqlite(path.parent).dump() == before


@EACH_WAY
async def test_another_process_has_another_name_and_closes_what_the_lost_one_held(
    store: SqliteStore, hands: Hands, lose: Callable[[Path], None]
) -> None:
    """The lost one cannot close it any more: its next batch fails."""
    await granted(store, call("call_1"), 100)
    file = store.path.with_name(f"{store.path.name}.owner-0")
    lose(file)
    if file.is_dir():
        file.rmdir()
    other = SqliteStore(store.path)
    await other.open()
    try:
        assert other.owner != store.owner
        assert [hold.id for hold in await other.orphans(0)] == ["call_1"]
    finally:
        await other.close()
    hands.now += FRESH_SECONDS
    with pytest.raises(LedgerLost):
        await settled(store, call("call_1"), 100)


async def test_a_symbolic_link_leads_to_the_same_names_as_the_file(store: SqliteStore) -> None:
    """Two processes that came by different ways see that the other one lives."""
    link = store.path.parent / "folder" / "link.db"
    link.parent.mkdir()
    link.symlink_to(store.path)
    await granted(store, call("call_1"), 100)
    other = SqliteStore(link)
    await other.open()
    try:
        assert other.owner != store.owner
        assert await other.orphans(0) == []
    finally:
        await other.close()


def test_a_file_that_this_process_has_not_open_is_refused(path: Path) -> None:
    """It was replaced while it was opened: what is under the name now is not what was opened."""
    path.write_text("not open")
    with pytest.raises(StorageFault, match="replaced while it was opened"):
        OpenFiles(path, [])
    with pytest.raises(StorageFault, match="taken away"):
        OpenFiles(path.with_name("nothing"), [])
