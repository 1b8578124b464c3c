"""SQLite's write-ahead log: made durable after each commit, and copied into the database now and then."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

SYNC_DATA: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)
"""Make a file's data durable; not every system can leave the times in its inode alone."""
CHECKPOINT_COMMITS: Final = 256
"""How many commits the log collects: busy pages are copied once for all that changed in them."""


class WriteAheadLog:
    """The log of a connection in WAL mode with `synchronous = NORMAL`, which itself never syncs a commit.

    What was committed survives a crash of the process at once, and a loss of power from when `make_durable`
    has returned; this is what `synchronous = FULL` does, but in a thread of the caller's choice. Other
    processes' commits lie in the same file and become durable with ours. The connection must be open and have
    been read from, so that the log is there; it stays the same file until the last connection is closed.
    """

    def __init__(
        self, connection: sqlite3.Connection, database: Path, *, sync: Callable[[int], None] = SYNC_DATA
    ) -> None:
        self._connection = connection
        self._sync = sync
        self._file = os.open(f"{database}-wal", os.O_RDONLY)
        self._commits = 0
        # The log may be new, and then its name is not durable yet.
        folder = os.open(database.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def make_durable(self) -> None:
        """Wait until all that is committed is on the disk. Raises OSError.

        No batch may be under way meanwhile.
        """
        self._sync(self._file)
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS:
            self._commits = 0
            # All is durable without it; the log is only longer until the next time.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
