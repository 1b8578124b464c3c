"""SQLite's write-ahead log: synced after each commit, and copied into the database now and then."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

SYNC_DATA: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)
"""Makes a file's data durable, without its times where the system can."""
CHECKPOINT_COMMITS: Final = 256
"""How many commits the log collects: a busy page is then copied once for all of them."""


class WriteAheadLog:
    """The log of a connection in WAL mode with `synchronous = NORMAL`, which itself never syncs a commit.

    A commit survives a crash of the process at once, and a loss of power after `make_durable`: as with
    `synchronous = FULL`, but in a thread of the caller's choice. Other processes' commits are in the same
    file and become durable with ours. The connection must have been read from, so that the log exists; it
    stays the same file until the last connection is closed.
    """

    def __init__(
        self, connection: sqlite3.Connection, database: Path, *, sync: Callable[[int], None] = SYNC_DATA
    ) -> None:
        self._connection = connection
        self._sync = sync
        self._file = os.open(f"{database}-wal", os.O_RDONLY)
        self._commits = 0
        # The name of a new log is not durable yet.
        folder = os.open(database.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def make_durable(self) -> None:
        """Wait until every commit is on the disk. Raises OSError.

        No batch may be under way meanwhile.
        """
        self._sync(self._file)
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS:
            self._commits = 0
            # Every commit is durable without it; the log only grows until the next time.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
