"""The engine for a location: a store that serves the ledger, or the whole database."""

from pathlib import Path
from typing import Final

from proxy.ledger.store import Store
from proxy.storage.database import Database
from proxy.storage.faults import StorageFault
from proxy.storage.sqlite.database import SqliteDatabase
from proxy.storage.sqlite.store import SqliteStore
from proxy.tasks import Tasks

_POSTGRES: Final = frozenset({"postgresql", "postgres"})


def store_for(location: str | Path, *, tasks: Tasks, keep_months: int | None = None) -> Store:
    """A store at a location, not open yet; `tasks` runs an engine's background work.

    PostgreSQL deletes receipts after `keep_months`; SQLite keeps all of them.

    Raises StorageFault as `database_at`.
    """
    if not _is_postgres(location):
        return SqliteStore(location)
    try:
        # The driver comes with an extra, and Farebox serves SQLite without it.
        from proxy.storage.postgres.store import PostgresStore  # noqa: PLC0415 - see above.
    except ModuleNotFoundError as error:
        raise _without(error) from error
    return PostgresStore(str(location), tasks=tasks, keep_months=keep_months)


def database_at(location: str | Path) -> Database:
    """The database at a file's path, a `sqlite:///` or a `postgresql://` URL.

    Raises StorageFault for any other, and where the package is not installed that talks to it. The message
    does not repeat a URL, which may hold a password.
    """
    if not _is_postgres(location):
        return SqliteDatabase(location)
    try:
        from proxy.storage.postgres.database import PostgresDatabase  # noqa: PLC0415 - as above.
    except ModuleNotFoundError as error:
        raise _without(error) from error
    return PostgresDatabase(str(location))


def _is_postgres(location: str | Path) -> bool:
    scheme, separator, _ = str(location).partition("://")
    if separator and scheme not in _POSTGRES | {"sqlite"}:
        raise StorageFault(f"{scheme}:// is none of ours; write sqlite:///file or postgresql://host/database")
    return bool(separator) and scheme in _POSTGRES


def _without(error: ModuleNotFoundError) -> StorageFault:
    return StorageFault(f"PostgreSQL needs {error.name}; install farebox[postgres]")
