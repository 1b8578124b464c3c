"""A whole SQLite file, for the commands that read or fill all of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from proxy.storage.database import Chunk
from proxy.storage.faults import StorageFault
from proxy.storage.migrate import bundled
from proxy.storage.owners import alone, gone
from proxy.storage.queries import Rows
from proxy.storage.sqlite.file import ENGINE, path_of, prepare
from proxy.storage.sqlite.rare import insert_of
from proxy.storage.sqlite.scan import BUSY_SECONDS, SqliteScan, expect_latest, faults, snapshot, version_of
from proxy.storage.sqlite.write import add_usage_days
from proxy.storage.tables import BY_NAME

_ADDS: Final = {name: Rows(insert_of(table)) for name, table in BY_NAME.items()}


class SqliteDatabase:
    """The file at `location`, a path or a `sqlite:///` URL. Raises StorageFault for any other location."""

    def __init__(self, location: str | Path) -> None:
        self.path = path_of(location)

    @property
    def label(self) -> str:
        """The file."""
        return str(self.path)

    @contextmanager
    def snapshot(self) -> Iterator[SqliteScan]:
        """A scan of the file as it is now, while processes may serve it."""
        with snapshot(self.path) as connection:
            expect_latest(connection, self.path)
            yield SqliteScan(connection, self.path)

    @contextmanager
    def at_rest(self) -> Iterator[SqliteScan]:
        """A scan while no process serves the file. One that starts meanwhile waits until the end."""
        if not self.path.is_file():
            raise StorageFault(f"{self.path}: there is no such file")
        with alone(self.path):
            if serving := self._serving():
                names = ", ".join(sorted(serving))
                raise StorageFault(f"{self.path}: Farebox is running on it ({names}); stop it first")
            with self.snapshot() as scan:
                yield scan

    @contextmanager
    def filling(self) -> Iterator["SqliteTarget"]:
        """Fill the file in one database transaction; make it, or what its schema lacks."""
        with faults(self.path):
            connection = prepare(self.path, busy_timeout_seconds=BUSY_SECONDS)
        with closing(connection):
            with faults(self.path):
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
            yield SqliteTarget(connection, self.path)

    def version(self) -> int:
        """The number of the file's last migration; 0 when it is empty or not there."""
        if not self.path.exists():
            return 0
        with snapshot(self.path) as connection:
            return version_of(connection, self.path)

    def latest_version(self) -> int:
        """The number of the last migration there is."""
        return len(bundled(ENGINE))

    def migrate(self) -> None:
        """Make the file if there is none, and bring its schema up to date."""
        with faults(self.path):
            prepare(self.path, busy_timeout_seconds=BUSY_SECONDS).close()

    def _serving(self) -> set[str]:
        """The owner names that processes hold now."""
        prefix = f"{self.path.name}."
        files = self.path.parent.glob(f"{prefix}owner-*")
        names = {file.name.removeprefix(prefix) for file in files}
        return names - gone(self.path, names)


class SqliteTarget(SqliteScan):
    """A file that is being filled. Without a commit, closing the connection undoes what was added."""

    def add(self, table: str, rows: Chunk) -> None:
        """Add rows to a table; usage days also to the sums over all accounts. Raises StorageFault."""
        with faults(self._path):
            if table == "usage_days":
                add_usage_days(self._connection, rows)
            else:
                _ADDS[table].run(self._connection, list(chain.from_iterable(rows)))

    def note_receipts_since(self, day: int) -> None:
        """Store the day as the file's user version, the one number SQLite has for it. Raises StorageFault."""
        with faults(self._path):
            self._connection.execute(f"PRAGMA user_version = {int(day)}")

    def commit(self) -> None:
        """Commit, and copy the write-ahead log into the file. Raises StorageFault."""
        with faults(self._path):
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
