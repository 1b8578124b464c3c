"""Copies a SQLite file consistently while processes write, and checks the copy before naming it."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from proxy.storage.database import TABLES
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.scan import SqliteScan, faults, snapshot, version_of

STEP_PAGES: Final = 1024
"""How many pages, mostly of 4 KiB, are copied between two reports of progress."""


def backup(
    source: Path,
    destination: Path,
    *,
    force: bool,
    on_pages: Callable[[int, int], object],
    step_pages: int = STEP_PAGES,
) -> dict[str, int]:
    """Copy the ledger at `source` to `destination`, whole and durable or not at all; its tables' rows.

    Writers do not wait. A file at `destination` is replaced only with `force`; the new one is readable for
    its owner only. `on_pages` is called with how many pages are done, and of how many. Raises StorageFault.
    """
    _expect_place(source, destination, force=force)
    with snapshot(source) as connection:
        if not version_of(connection, source):
            raise StorageFault(f"{source}: it is empty; there is nothing to back up")
        with _beside(destination) as partial:
            _copy_pages(connection, partial, step_pages, on_pages)
            counts = _counts(connection, source)
            _check(partial, destination, counts)
            with faults(destination):
                _sync(partial)
                partial.replace(destination)
                _sync(destination.parent)
    return counts


def _expect_place(source: Path, destination: Path, *, force: bool) -> None:
    if not destination.parent.is_dir():
        raise StorageFault(f"{destination}: there is no folder {destination.parent}")
    if not destination.exists():
        return
    if not destination.is_file():
        raise StorageFault(f"{destination}: it is not a file")
    if source.exists() and destination.samefile(source):
        raise StorageFault(f"{destination}: this is the database itself")
    if not force:
        raise StorageFault(f"{destination}: it exists already; --force replaces it")
    if destination.with_name(f"{destination.name}-wal").exists():
        # SQLite would play the log of the old database into the new one.
        raise StorageFault(f"{destination}: it has a log ({destination.name}-wal), so that it may be in use")


@contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    """A new empty file beside the destination, which is removed unless it has been given another name."""
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.partial")
    with faults(destination):
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _copy_pages(
    connection: sqlite3.Connection, partial: Path, step_pages: int, on_pages: Callable[[int, int], object]
) -> None:
    """Copy the pages of the snapshot, so that no write makes the backup start anew."""

    def on_step(_: int, remaining: int, total: int) -> None:
        on_pages(total - remaining, total)

    with faults(partial), closing(sqlite3.connect(partial, isolation_level=None)) as copy:
        # The file is synced as a whole, once it is complete.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        connection.backup(copy, pages=step_pages, progress=on_step)


def _check(partial: Path, destination: Path, counts: dict[str, int]) -> None:
    """Raise StorageFault unless the copy is sound and has the counted rows."""
    # Nobody else knows the file, and as an immutable one it gets no log beside it.
    uri = f"{partial.as_uri()}?mode=ro&immutable=1"
    with faults(destination), closing(sqlite3.connect(uri, uri=True)) as copy:
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        found = _counts(copy, destination)
    if said != "ok":
        raise StorageFault(f"{destination}: the copy is damaged, and so is the database: {said}")
    if found != counts:
        raise StorageFault(f"{destination}: the copy has other rows than the database: {found}, not {counts}")


def _counts(connection: sqlite3.Connection, path: Path) -> dict[str, int]:
    scan = SqliteScan(connection, path)
    return {table: scan.count(table) for table in TABLES}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
