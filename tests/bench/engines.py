"""Where the bench's databases are: files of SQLite, and a PostgreSQL server that syncs every commit."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import asyncpg
import psutil

from proxy.storage.postgres.database import PostgresDatabase
from proxy.storage.sqlite.database import SqliteTarget
from proxy.storage.sqlite.file import prepare
from tests.bench.history import History
from tests.storage.postgres.server import Server

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
}
"""Settings of a machine that serves a ledger; others are as PostgreSQL comes."""


class Engine(Protocol):
    """Databases of one engine."""

    name: str

    def new(self, name: str, history: History) -> str:
        """The location of a new database that has all rows of a history."""
        ...

    def tidy(self, location: str) -> None:
        """Do now what the engine does by and by, and would otherwise do while something is measured."""
        ...

    def drop(self, location: str) -> None:
        """Remove a database that nobody uses any more."""
        ...

    def disk_bytes(self, location: str) -> int:
        """How much a database takes of the disk."""
        ...

    def cpu_seconds(self) -> float:
        """Processor time of the engine's own processes so far; 0 where there are none."""
        ...


class SqliteEngine:
    """Each database is a file in a folder of its own."""

    name = SQLITE

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def new(self, name: str, history: History) -> str:
        path = self._folder / name / "farebox.db"
        with closing(prepare(path, busy_timeout_seconds=1)) as connection:
            # Nobody misses a file whose filling was interrupted, so that nothing is made safe on the way.
            for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -1048576"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("PRAGMA journal_mode = OFF").fetchone()
            connection.execute("BEGIN")
            filled = SqliteTarget(connection, path)
            for table, rows in history.chunks():
                filled.add(table, rows)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        location = f"sqlite:///{path}"
        self.tidy(location)
        return location

    def tidy(self, location: str) -> None:
        descriptor = os.open(location.removeprefix("sqlite:///"), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def drop(self, location: str) -> None:
        shutil.rmtree(Path(location.removeprefix("sqlite:///")).parent)

    def disk_bytes(self, location: str) -> int:
        path = Path(location.removeprefix("sqlite:///"))
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))

    def cpu_seconds(self) -> float:
        return 0.0


class DurableServer(Server):
    """The tests' server, with the settings under which nothing acknowledged is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._settings |= DURABLE

    def cpu_seconds(self) -> float:
        """User and system time so far of all its processes that live."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        total = 0.0
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


class PostgresEngine:
    """Each database is one of a server's."""

    name = POSTGRES

    def __init__(self, server: DurableServer) -> None:
        self._server = server
        self._main = server.location()

    def new(self, name: str, history: History) -> str:
        asyncio.run(_tell(self._main, f'CREATE DATABASE "{name}"'))
        location = self._main.replace("/postgres?", f"/{name}?")
        with PostgresDatabase(location).filling() as target:
            for table, rows in history.chunks():
                target.add(table, rows)
            target.commit()
        self.tidy(location)
        return location

    def tidy(self, location: str) -> None:
        asyncio.run(_tell(location, "VACUUM (ANALYZE)"))
        asyncio.run(_tell(location, "CHECKPOINT"))

    def drop(self, location: str) -> None:
        asyncio.run(_tell(self._main, f'DROP DATABASE "{_name_of(location)}" WITH (FORCE)'))

    def disk_bytes(self, location: str) -> int:
        ((size,),) = asyncio.run(_tell(self._main, f"SELECT pg_database_size('{_name_of(location)}')"))
        return int(size)

    def cpu_seconds(self) -> float:
        return self._server.cpu_seconds()


@contextlib.contextmanager
def engines(folder: Path) -> Iterator[list[Engine]]:
    """Both engines, with their databases below `folder`; all of PostgreSQL's are gone at the end.

    Raises postgres_server.Missing where PostgreSQL cannot run. A server that is run by root is run as nobody,
    who has to be allowed to look into `folder`.
    """
    before, tempfile.tempdir = tempfile.tempdir, str(folder.resolve())
    try:
        server = DurableServer()
    finally:
        tempfile.tempdir = before
    try:
        server.start()
        yield [SqliteEngine(folder), PostgresEngine(server)]
    finally:
        server.remove()


async def _tell(location: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(location)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


def _name_of(location: str) -> str:
    return location.partition("?")[0].rpartition("/")[2]
