"""The SQLite file: its path, its making, and the setup of connections to it."""

import os
import sqlite3
from pathlib import Path
from threading import Event
from typing import Final

from proxy.storage.faults import StorageFault
from proxy.storage.migrate import bundled, migrate
from proxy.storage.owners import alone

ENGINE: Final = "sqlite"
OLDEST_SQLITE: Final = (3, 38, 0)
"""The first version with strict tables, UPDATE ... FROM and `->>`."""

_URL: Final = "sqlite:///"
_STATEMENTS: Final = 512
"""How many prepared statements a connection caches: more than there are, so none is prepared twice."""

# A page is 4 KiB. The cache holds the hot ends of all tables. A commit neither syncs the log nor copies it
# into the database: both take too long for the event loop, and `WriteAheadLog` does them.
_WRITER_PRAGMAS: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = OFF",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA synchronous = NORMAL",
)


def path_of(location: str | Path) -> Path:
    """The file at a path or a `sqlite:///` URL, under its real name.

    SQLite names its log after the real file, and owner names have to be the same ones for all processes,
    whichever symbolic link each of them was given. Raises StorageFault for no file, such as `:memory:`.
    """
    name = str(location).removeprefix(_URL)
    if name in ("", ":memory:") or name.startswith(("sqlite:", "file:")):
        raise StorageFault(
            f"{location}: the ledger needs a file, as a database in memory would lose all money with its "
            "process; write a path, or sqlite:///path"
        )
    return Path(name).resolve()


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process keeps what this one needs."""
    # The low byte is the kind of error; the others are its details.
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def prepare(path: Path, *, busy_timeout_seconds: float, abandoned: Event | None = None) -> sqlite3.Connection:
    """Make the database if there is none, bring its schema up to date, and return a connection for writing.

    The folder is made, and a new file is readable for its owner only. Raises StorageFault, OSError or
    sqlite3.Error; a wait for another process that prepares it ends when `abandoned` is set.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StorageFault(f"SQLite {sqlite3.sqlite_version} is too old: 3.38 or newer is needed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path, abandoned=abandoned):
        _create(path)
        return _open_for_writing(path, busy_timeout_seconds)


def _create(path: Path) -> None:
    # SQLite gives its log files the mode of the database. A file that exists is not opened here: closing it
    # would drop every lock that connections of this process have on it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise StorageFault("it is not a file") from None


def _open_for_writing(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=busy_timeout_seconds,
        isolation_level=None,
        cached_statements=_STATEMENTS,
        check_same_thread=False,
    )
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageFault("its file system cannot keep SQLite's write-ahead log; use a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, bundled(ENGINE))
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection
