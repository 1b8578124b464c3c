"""Reads a whole SQLite file: one snapshot, on a connection that cannot write."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from proxy.storage.database import TABLES, TOTALS, Chunk
from proxy.storage.faults import StorageFault
from proxy.storage.migrate import bundled, check
from proxy.storage.sqlite.file import ENGINE

CHUNK_ROWS: Final = 1000
BUSY_SECONDS: Final = 10.0
_SORT_KIB: Final = 16_384
"""The memory of each sort; the rest goes to temporary files."""


class SqliteScan:
    """All rows of a file, by a connection on which a database transaction is open."""

    keeps_totals: Final = True

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @property
    def receipts_since_day(self) -> int:
        """As stored when the file was filled: a file deletes no receipts. Raises StorageFault."""
        with faults(self._path):
            (day,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(day)

    def chunks(self, sql: str) -> Iterator[Chunk]:
        """The rows of a query, `CHUNK_ROWS` at a time. Raises StorageFault."""
        with faults(self._path), closing(self._connection.execute(sql)) as cursor:
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows

    def count(self, table: str) -> int:
        """How many rows one of `TABLES` has, or `TOTALS`. Raises StorageFault."""
        assert table in (*TABLES, TOTALS)
        with faults(self._path):
            (count,) = self._connection.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()  # noqa: S608 - it is one of these.
        return int(count)


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn errors of the file into a StorageFault that names it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageFault(f"{path}: {error}") from error


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, and sees the file as it is now until the end. Raises StorageFault.

    Writers do not wait, but the write-ahead log cannot start anew before the end.
    """
    if not path.is_file():
        raise StorageFault(f"{path}: there is no such file")
    with faults(path):
        connection = sqlite3.connect(
            f"{path.as_uri()}?{_mode(path)}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    with closing(connection):
        with faults(path):
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = -{_SORT_KIB}")
            connection.execute("BEGIN")
            # The snapshot is that of the first read.
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        yield connection


def _mode(path: Path) -> str:
    """How SQLite is to open a file that is only read.

    Where it may, it opens it for writing all the same: the files by which processes share a database are
    removed at the end by no other connection.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    # Without these files it cannot share a database; but without them, nobody writes to it either.
    return "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The number of a database's last migration, 0 for an empty one.

    Raises StorageFault when it is another program's, a newer Farebox's, or not made by these migrations.
    """
    with faults(path):
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        if not tables:
            return 0
        if "migrations" not in tables:
            raise StorageFault(f"{path}: it is not a database of Farebox's")
        records = connection.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
    try:
        check(records, bundled(ENGINE))
    except StorageFault as fault:
        raise StorageFault(f"{path}: {fault}") from fault
    return len(records)


def expect_latest(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageFault unless a database's schema is this version's."""
    version, latest = version_of(connection, path), len(bundled(ENGINE))
    if version != latest:
        raise StorageFault(f"{path}: its schema is at version {version} of {latest}; run `farebox migrate`")
