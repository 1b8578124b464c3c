"""A database of any engine as a whole: read from end to end, filled, brought up to date."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from proxy.storage.tables import BY_NAME, USAGE_TOTALS

TOTALS: Final = USAGE_TOTALS.name
"""A table that follows from `usage_days`, in engines that keep it."""
TABLES: Final = tuple(name for name in BY_NAME if name != TOTALS)
"""The tables that every engine has, each after those that it refers to."""

Chunk = Sequence[tuple[Any, ...]]
"""Some rows, each with its columns in the order in which they are asked for."""


class Scan(Protocol):
    """All rows of a ledger as they were at one instant, whoever writes meanwhile.

    Its methods raise StorageFault when the database cannot be read.
    """

    @property
    def receipts_since_day(self) -> int:
        """The first day whose receipts have not been let go of; 0 where none ever are."""
        ...

    @property
    def keeps_totals(self) -> bool:
        """Whether there is a table `TOTALS`."""
        ...

    def chunks(self, sql: str) -> Iterator[Chunk]:
        """The rows of a query without parameters, in its order, in memory a chunk at a time."""
        ...

    def count(self, table: str) -> int:
        """How many rows one of `TABLES` has, or `TOTALS` where it is kept."""
        ...


class CopyTarget(Scan, Protocol):
    """A database that is being filled, as it will be once that is committed."""

    def add(self, table: str, rows: Chunk) -> None:
        """Add rows with all columns of one of `TABLES`, in the order of the schema."""
        ...

    def note_receipts_since(self, day: int) -> None:
        """Have `receipts_since_day` be this one: earlier receipts were let go of where the rows come from."""
        ...

    def commit(self) -> None:
        """Keep what was added, durably; without it nothing stays."""
        ...


class Database(Protocol):
    """One database at a location. Whatever cannot be done with it raises StorageFault."""

    @property
    def label(self) -> str:
        """Its location as it may be shown: without a password."""
        ...

    def snapshot(self) -> AbstractContextManager[Scan]:
        """Read it as it is now, while others may write."""
        ...

    def at_rest(self) -> AbstractContextManager[Scan]:
        """Read it while no process serves it: refused when one does, and none can start meanwhile."""
        ...

    def filling(self) -> AbstractContextManager[CopyTarget]:
        """Bring it up to date, making it if there is none, and fill it in one database transaction."""
        ...

    def version(self) -> int:
        """The number of its last migration; 0 for one that is empty or not there yet."""
        ...

    def latest_version(self) -> int:
        """The number of the last migration there is."""
        ...

    def migrate(self) -> None:
        """Bring it up to date, making it if there is none."""
        ...
