"""Where a history is carried out: a database of one engine that can be looked into and made to fail."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg
import msgspec

from proxy.ledger.store import Store
from proxy.storage.sqlite.store import SqliteStore
from tests.simulation.events import ALERTS
from tests.simulation.memory_stage import MemoryStage
from tests.simulation.steps import Fault
from tests.storage.engines import Dump, Postgres, Sqlite

Where = Mapping[str, Collection[object]]
"""Columns, and the values one of which each must have."""


class Stage(Protocol):
    """One empty database, the stores on it, and a look at its rows, in the columns of the tables."""

    def store(self) -> Store:
        """A further store on the database, not open yet."""
        ...

    async def rows(self, table: str, where: Where) -> list[tuple[Any, ...]]:
        """The rows of a table that have been committed."""
        ...

    def dump(self) -> Dump:
        """All that has been committed."""
        ...

    def totals(self) -> list[tuple[Any, ...]] | None:
        """What has been committed of the sums over all accounts; None where none are kept."""
        ...

    def can_break(self, fault: Fault) -> bool:
        """Whether a batch can be made to break off there."""
        ...

    def broken(self, store: Store, fault: Fault) -> AbstractContextManager[None]:
        """Let the store's batches break off within the context: they raise LedgerUnavailable then."""
        ...

    async def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


class SqliteStage:
    """A database file. What it commits is not synced: processes die here, the machine does not."""

    def __init__(self, folder: Path) -> None:
        self._engine = Sqlite(folder)
        self._reader: sqlite3.Connection | None = None
        self._disk_fails = False

    def store(self) -> Store:
        store = SqliteStore(self._engine.path, sync=self._sync, busy_timeout_seconds=1.0, readers=1)
        store.alerts = ALERTS
        return store

    async def rows(self, table: str, where: Where) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = sqlite3.connect(self._engine.path, isolation_level=None, cached_statements=512)
        ands = " AND ".join(f'"{column}" IN (SELECT value FROM json_each(?))' for column in where)  # noqa: S608 - as below.
        values = [msgspec.json.encode(list(values)).decode() for values in where.values()]
        sql = f'SELECT * FROM "{table}" WHERE {ands}'  # noqa: S608 - these names are the code's own.
        return self._reader.execute(sql, values).fetchall()

    def dump(self) -> Dump:
        return self._engine.dump()

    def totals(self) -> list[tuple[Any, ...]] | None:
        return self._engine.totals()

    def can_break(self, fault: Fault) -> bool:
        return fault != "in_rules"

    @contextmanager
    def broken(self, store: Store, fault: Fault) -> Iterator[None]:
        assert isinstance(store, SqliteStore)
        if fault == "after_commit":
            self._disk_fails = True
            try:
                yield
            finally:
                self._disk_fails = False
            return
        assert store._batches is not None
        connection = store._batches._connection
        connection.set_authorizer(_no_commit)
        try:
            yield
        finally:
            connection.set_authorizer(None)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _sync(self, _file: int) -> None:
        if self._disk_fails:
            raise OSError("the disk fails")


def _no_commit(action: int, operation: str | None, *_: object) -> int:
    committing = action == sqlite3.SQLITE_TRANSACTION and operation == "COMMIT"
    return sqlite3.SQLITE_DENY if committing else sqlite3.SQLITE_OK


class PostgresStage:
    """A schema of a PostgreSQL server. Its batches break off in the rules only, or go through unheard."""

    def __init__(self, folder: Path) -> None:
        self._engine = Postgres(folder)
        self._reader: asyncpg.Connection[asyncpg.Record] | None = None

    def store(self) -> Store:
        store = self._engine.store()
        store.alerts = ALERTS
        return store

    async def rows(self, table: str, where: Where) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = await asyncpg.connect(self._engine.location)
        ands = " AND ".join(f'"{column}" = ANY(${place})' for place, column in enumerate(where, 1))
        sql = f'SELECT * FROM "{table}" WHERE {ands}'  # noqa: S608 - these names are the code's own.
        found = await self._reader.fetch(sql, *map(list, where.values()))
        return [tuple(row) for row in found]

    def dump(self) -> Dump:
        return self._engine.dump()

    def totals(self) -> list[tuple[Any, ...]] | None:
        return None

    def can_break(self, fault: Fault) -> bool:
        return False

    def broken(self, store: Store, fault: Fault) -> AbstractContextManager[None]:
        raise AssertionError(f"{store.owner} cannot be made to break off {fault}")

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None


STAGES: Final[dict[str, Callable[[Path], Stage]]] = {
    "memory": lambda _: MemoryStage(),
    "postgres": PostgresStage,
    "sqlite": SqliteStage,
}
"""What makes an empty database of each engine, below a folder of its own."""
