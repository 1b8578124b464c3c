"""A whole database of any engine: read from end to end, filled, migrated."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from proxy.storage.tables import BY_NAME, USAGE_TOTALS

TOTALS: Final = USAGE_TOTALS.name
"""A table that follows from `usage_days`, in engines that keep it."""
TABLES: Final = tuple(name for name in BY_NAME if name != TOTALS)
"""The tables that every engine has, each after those that it refers to."""

Chunk = Sequence[tuple[Any, ...]]
"""Some rows, with columns in the order of the query."""


class Scan(Protocol):
    """All rows of a ledger as of one instant, while others may write.

    Its methods raise StorageFault when the database cannot be read.
    """

    @property
    def receipts_since_day(self) -> int:
        """The first day whose receipts are complete; 0 where none are ever deleted."""
        ...

    @property
    def keeps_totals(self) -> bool:
        """Whether the engine has the table `TOTALS`."""
        ...

    def chunks(self, sql: str) -> Iterator[Chunk]:
        """The rows of a query without parameters, in its order; one chunk at a time is in memory."""
        ...

    def count(self, table: str) -> int:
        """How many rows one of `TABLES` has, or `TOTALS` where there is one."""
        ...


class CopyTarget(Scan, Protocol):
    """A database that is being filled. A scan of it includes what was added."""

    def add(self, table: str, rows: Chunk) -> None:
        """Add rows with all columns of one of `TABLES`, in the order of the schema."""
        ...

    def note_receipts_since(self, day: int) -> None:
        """Set `receipts_since_day`: the database that the rows come from has deleted earlier receipts."""
        ...

    def commit(self) -> None:
        """Commit what was added, durably. Without it nothing stays."""
        ...


class Database(Protocol):
    """One database at a location. Its methods raise StorageFault when they fail."""

    @property
    def label(self) -> str:
        """Its location without a password."""
        ...

    def snapshot(self) -> AbstractContextManager[Scan]:
        """A scan of the database as it is now, while others may write."""
        ...

    def at_rest(self) -> AbstractContextManager[Scan]:
        """A scan while no process serves the database: refused when one does; none can start meanwhile."""
        ...

    def filling(self) -> AbstractContextManager[CopyTarget]:
        """Migrate the database, making it if there is none, and fill it in one database transaction."""
        ...

    def version(self) -> int:
        """The number of its last migration; 0 when it is empty or missing."""
        ...

    def latest_version(self) -> int:
        """The number of the last migration of this version of Farebox."""
        ...

    def migrate(self) -> None:
        """Apply missing migrations, making the database if there is none."""
        ...
