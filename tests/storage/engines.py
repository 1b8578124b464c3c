"""The storage engines under test: how to make stores on one database, and how to dump all of it."""

import asyncio
import functools
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from proxy.ledger.store import Store
from proxy.storage.database import TABLES
from proxy.storage.postgres.database import PostgresDatabase
from proxy.storage.postgres.store import PostgresStore
from proxy.storage.sqlite.file import prepare
from proxy.storage.sqlite.store import SqliteStore
from proxy.tasks import Tasks
from tests.storage.postgres.server import new_database, new_schema

Dump = dict[str, list[tuple[Any, ...]]]
"""Every row of every table that each engine has, in the order of the primary key."""


class Engine(Protocol):
    """One empty database of an engine; its stores are as many processes would open them.

    `names_return` tells whether a store may get the owner name of one that was closed.
    """

    names_return: bool

    def store(self) -> Store:
        """A further store on the database, not open yet."""
        ...

    def dump(self) -> Dump:
        """What has been committed."""
        ...


class MakeEngine(Protocol):
    """Makes a database of an engine below a folder that is a test's own; if `empty`, without any tables."""

    def __call__(self, folder: Path, *, empty: bool = False) -> Engine: ...


class Sqlite:
    """A database file in a folder: the one that is there, a new one, or none if it is to be `empty`."""

    names_return = True

    def __init__(self, folder: Path, *, empty: bool = False) -> None:
        self.path = folder / "farebox.db"
        if not empty and not self.path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(_new_file())

    def store(self) -> SqliteStore:
        return SqliteStore(self.path)

    def dump(self) -> Dump:
        connection = sqlite3.connect(self.path)
        try:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            return {
                name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)  # noqa: S608 - it is a table's own name.
                for (name,) in tables
                if name not in ("migrations", "usage_totals")
            }
        finally:
            connection.close()

    def totals(self) -> list[tuple[Any, ...]]:
        """What has been committed of the sums over all accounts, which no other engine keeps."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT * FROM usage_totals").fetchall()


@functools.cache
def _new_file() -> bytes:
    """A file without rows, of the latest schema: to copy it takes a fifth of the time to make one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "farebox.db"
        prepare(path, busy_timeout_seconds=1).close()
        return path.read_bytes()


class Postgres:
    """A database of a server that all tests share: a new one, or a schema without tables if it is `empty`.

    What processes say about themselves is not dumped.
    """

    names_return = False

    def __init__(self, folder: Path, *, empty: bool = False) -> None:
        self.location = apart(new_schema()) if empty else new_ledger()

    def store(self) -> PostgresStore:
        return postgres_at(self.location)

    def dump(self) -> Dump:
        dump: Dump = apart(self._dump())
        return dump

    async def _dump(self) -> Dump:
        return {name: sorted(await tell(self.location, f"TABLE {name}"), key=repr) for name in TABLES}


def postgres_at(location: str, **options: Any) -> PostgresStore:
    """A store that is not open yet, of which no task may fail."""

    def fail(name: str, error: BaseException) -> None:
        raise error

    return PostgresStore(location, tasks=Tasks(fail), **options)


@asynccontextmanager
async def opened(location: str, **options: Any) -> AsyncIterator[PostgresStore]:
    """A store on PostgreSQL that is open until the end of the context."""
    store = postgres_at(location, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def new_ledger() -> str:
    """The location of a new database of PostgreSQL."""
    location: str = apart(new_database(lambda empty: PostgresDatabase(empty).migrate()))
    return location


async def tell(location: str, statement: str) -> list[tuple[Any, ...]]:
    """What a PostgreSQL database answers to a statement, on a connection beside those of stores."""
    connection = await asyncpg.connect(location)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def apart(coroutine: Any) -> Any:
    """What a coroutine returns that is run beside whatever loop may be running here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


ENGINES: dict[str, MakeEngine] = {"postgres": Postgres, "sqlite": Sqlite}
"""What makes a database of each engine."""
