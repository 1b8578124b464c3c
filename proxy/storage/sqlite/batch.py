"""One batch on SQLite: begin, load, run the rules, write what changed, commit."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proxy.ledger import rules
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.commands import Command, Result
from proxy.ledger.needs import needs_of
from proxy.storage.sqlite.file import is_busy
from proxy.storage.sqlite.load import RowCache
from proxy.storage.sqlite.write import write

RETRY_SECONDS: Final = 0.0005
"""How soon to try again while another process does its batch, which takes little longer than this."""

# Writes a page whatever the number was. Nobody reads it.
_PROVE_WRITABLE: Final = "PRAGMA application_id = 0"


class SqliteBatches:
    """Batches on one connection, one after the other, with up to `keep_rows` rows cached between them.

    A batch waits up to `busy_timeout_seconds` for another process's batch. SQLite's own waiting is turned
    off: it sleeps longer and longer, so a process with little to do would hardly get a turn.

    `alerts` are what the rules tell of, and may be replaced between two batches.

    What `check` raises keeps a batch from being carried out; it is called while no other process can write.

    After a failed batch the next ones write something even when they change nothing, until one succeeds: on a
    full disk the success of an empty batch would say that the ledger can be written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        keep_rows: int,
        busy_timeout_seconds: float,
        check: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        connection.execute("PRAGMA busy_timeout = 0")
        self._connection = connection
        self._rows = RowCache(connection, most_rows=keep_rows)
        self._busy_timeout_seconds = busy_timeout_seconds
        self._check = check
        self._monotonic = monotonic
        self._sleep = sleep
        self._has_failed = False
        self.alerts: Alerts = SILENT

    def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch that has begun, and commit it: one result for each command.

        Raises sqlite3.Error when it could not be committed, and what a rule or the check raises; then nothing
        has changed.
        """
        connection, rows = self._connection, self._rows
        needs = needs_of(commands)
        try:
            self._check()
            books = rows.load(needs)
            books.alerts = self.alerts
            stored_keys = {id_ for _, id_ in needs.keys if id_ in books.keys}
            stored_holds = {id_: books.holds[id_].amount_nano for _, id_ in needs.holds if id_ in books.holds}
            results = [rules.apply(books, command) for command in commands]
            books.add_up()
            write(
                connection,
                books,
                stored_keys=stored_keys,
                stored_holds=stored_holds,
                stored_lots=rows.stored_lots,
            )
            if self._has_failed:
                connection.execute(_PROVE_WRITABLE)
            connection.execute("COMMIT")
        except BaseException:
            self._has_failed = True
            rows.forget()
            # Some errors, such as a full disk, have rolled everything back by themselves.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._has_failed = False
        rows.committed()
        return results

    async def begin(self) -> None:
        """Take the file's one write lock. Raises sqlite3.OperationalError when another process keeps it."""
        deadline = self._monotonic() + self._busy_timeout_seconds
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or self._monotonic() >= deadline:
                    raise
                await self._sleep(RETRY_SECONDS)
            else:
                return
