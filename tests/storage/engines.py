"""The storage engines under test: how stores on one database are made, and a look at all that is in it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from proxy.ledger.store import Store
from proxy.storage.sqlite import SqliteStore

Dump = dict[str, list[tuple[Any, ...]]]
"""Every row of every table, in the order of the primary key."""


class Engine(Protocol):
    """One empty database of an engine; its stores are as many processes would open them."""

    def store(self) -> Store:
        """A further store on the database, not open yet."""
        ...

    def dump(self) -> Dump:
        """What has been committed."""
        ...


class Sqlite:
    """A database file in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "farebox.db"

    def store(self) -> SqliteStore:
        return SqliteStore(self.path)

    def dump(self) -> Dump:
        connection = sqlite3.connect(self.path)
        try:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            return {
                name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)  # noqa: S608 - it is a table's own name.
                for (name,) in tables
                if name != "migrations"
            }
        finally:
            connection.close()


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": Sqlite}
"""What makes a database of each engine below a folder that is a test's own."""
