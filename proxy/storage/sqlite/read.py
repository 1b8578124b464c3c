"""Reads of a SQLite file beside its batches: a few connections, each with a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite

from proxy.ledger.store import LedgerUnavailable
from proxy.storage.queries import SqlValue

READ_SECONDS: Final = 10.0
"""How long a read may take, its wait for a connection included."""
INTERRUPT_SECONDS: Final = 0.005
"""How long to wait for a read to break off before it is interrupted again."""
INTERRUPTS_MAX: Final = 200
"""How often. A read that waits for a disk does not hear it; nobody waits for that one any more."""

Parameters = Sequence[SqlValue] | Mapping[str, object]
"""The values of a statement's parameters, by place or by name."""


class SqliteReaders:
    """Up to `connections` reads of the file at `path` at once; others wait for their turn.

    Methods raise errors of sqlite3, and LedgerUnavailable when it is not open, or when a read takes longer
    than `read_seconds`.
    """

    def __init__(
        self,
        path: Path,
        *,
        connections: int,
        busy_timeout_seconds: float,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._path: Final = path
        self._read_seconds: Final = read_seconds
        self._connections: Final = connections
        self._busy_timeout_seconds: Final = busy_timeout_seconds
        self._idle: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._opened = AsyncExitStack()
        self._is_open = False

    async def open(self) -> None:
        """Connect; the connections cannot write. When one fails, none stays."""
        async with AsyncExitStack() as stack:
            for _ in range(self._connections):
                connecting = aiosqlite.connect(
                    self._path, timeout=self._busy_timeout_seconds, isolation_level=None
                )
                connection = await _opened(stack.enter_async_context(connecting))
                connection.row_factory = sqlite3.Row
                await connection.execute_fetchall("PRAGMA query_only = ON")
                self._idle.put_nowait(connection)
            self._opened = stack.pop_all()
        self._is_open = True

    async def fetch(self, sql: str, params: Parameters = ()) -> list[sqlite3.Row]:
        """All rows of one statement.

        A read that is cancelled or takes too long is broken off, so that its connection is soon free for
        another one.
        """
        if not self._is_open:
            raise LedgerUnavailable(f"{self._path}: it is not open for reading")
        try:
            async with asyncio.timeout(self._read_seconds):
                return await self._fetch(sql, params)
        except TimeoutError:
            raise LedgerUnavailable(
                f"{self._path}: a read took longer than {self._read_seconds:g} seconds"
            ) from None

    async def _fetch(self, sql: str, params: Parameters) -> list[sqlite3.Row]:
        connection = await self._idle.get()
        # One step for the thread: a cursor left open between two would keep an old snapshot. The shield
        # lets it go on when nobody waits for it any more, and tells when the connection is free.
        reading = asyncio.shield(connection.execute_fetchall(sql, params))
        reading.add_done_callback(partial(self._free, connection))
        try:
            return list(await asyncio.shield(reading))
        except asyncio.CancelledError:
            # A read that its thread has not begun yet is not interrupted, so once is not enough.
            for _ in range(INTERRUPTS_MAX):
                if reading.done():
                    break
                await connection.interrupt()
                await asyncio.wait({reading}, timeout=INTERRUPT_SECONDS)
            raise

    async def close(self) -> None:
        """Finish the reads that were asked for, and release the file; idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        # A queue serves those who wait in their order, so earlier reads get their connection first.
        try:
            for _ in range(self._connections):
                await self._idle.get()
        finally:
            await self._opened.aclose()

    def _free(self, connection: aiosqlite.Connection, read: asyncio.Future[Iterable[sqlite3.Row]]) -> None:
        self._idle.put_nowait(connection)
        if not read.cancelled():
            read.exception()  # When nobody waits for the read any more, nobody else looks at it.


async def _opened(
    opening: Coroutine[Any, Any, aiosqlite.Connection],
) -> aiosqlite.Connection:
    """Wait for a connection, also when the caller is cancelled: its thread answers to this loop."""
    begun = asyncio.shield(opening)
    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:
        await asyncio.wait({begun})
        if not begun.cancelled():
            begun.exception()  # Nobody else looks at it.
        raise
