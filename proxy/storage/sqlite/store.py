"""The storage engine on one SQLite file, which several processes may share."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from proxy.ledger.commands import Command, Result
from proxy.ledger.rows import Hold, Key
from proxy.ledger.store import LedgerUnavailable, Row
from proxy.storage import columns
from proxy.storage.faults import ConstraintFault, StorageFault
from proxy.storage.owners import claim, gone
from proxy.storage.queries import PORTABLE_READS, Query, load
from proxy.storage.sqlite.batch import SqliteBatches
from proxy.storage.sqlite.file import path_of, prepare
from proxy.storage.sqlite.job_thread import JobThread
from proxy.storage.sqlite.load import LOADS
from proxy.storage.sqlite.log import SYNC_DATA, WriteAheadLog
from proxy.storage.sqlite.read import Parameters, SqliteReaders

READS: Final[dict[str, Query]] = load(*PORTABLE_READS, "sqlite/sql/read.sql")
"""The named queries, with what each is for and the parameters it takes."""


class SqliteStore:
    """A `Store` on the file at `location`, which is a path or a `sqlite:///` URL.

    A batch runs on the event loop, in a millisecond or two, and a thread makes it durable: a statement takes
    less time than the way to a thread and back. `readers` connections serve everything else, in threads. A
    batch waits up to `busy_timeout_seconds` for another process to finish its own. `sync` makes a file's data
    durable. Up to `keep_rows` rows stay in memory between batches. Raises StorageFault for a location that is
    not a file.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        busy_timeout_seconds: float = 10.0,
        readers: int = 2,
        keep_rows: int = 100_000,
        sync: Callable[[int], None] = SYNC_DATA,
    ) -> None:
        self.path = path_of(location)
        self._busy_timeout_seconds = busy_timeout_seconds
        self._keep_rows = keep_rows
        self._sync = sync
        self._writing = JobThread("farebox-sync")
        self._readers = SqliteReaders(
            self.path, connections=readers, busy_timeout_seconds=busy_timeout_seconds
        )
        self._batches: SqliteBatches | None = None
        self._log: WriteAheadLog | None = None
        self._one_batch = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._lost: str | None = None
        self._resources = ExitStack()
        self._closed = False
        self._owner = ""
        self._inherited: frozenset[str] = frozenset()

    @property
    def owner(self) -> str:
        """This process's name on the holds it makes, such as `owner-0`; empty until the store is open."""
        return self._owner

    async def open(self) -> None:
        """Make the file if there is none, bring it up to date, and claim an owner name.

        Raises StorageFault, with everything released, when the file cannot be used. A store opens once.
        """
        async with self._opening:
            try:
                await self._writing.run(self._acquire)
                await self._readers.open()
            except BaseException as error:
                await self._writing.run(self._release)
                self._writing.stop()
                if isinstance(error, StorageFault | OSError | sqlite3.Error):
                    raise StorageFault(f"{self.path}: {error}") from error
                raise

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Nothing of it is stored when this raises.

        Raises LedgerUnavailable if it could not be committed, and ConstraintFault if a command would break
        the schema's constraints. When the disk fails after the commit, it is unknown what is stored: this and
        every later batch is refused, until a new process has opened the file and recovered.
        """
        async with self._one_batch:
            if self._lost is not None:
                raise LedgerUnavailable(f"a commit may be lost, only a restart can tell: {self._lost}")
            batches, log = self._opened()
            with self._as_faults():
                await batches.begin()
                results = batches.apply(commands)
            try:
                with self._as_faults():
                    await self._writing.run(log.make_durable)
            except LedgerUnavailable as error:
                # The system may forget what it failed to write: a later sync that succeeds proves nothing.
                self._lost = str(error)
                raise
            return results

    async def probe(self) -> None:
        """Read from the file. A write would take the one write lock, and wear the disk; batches try it."""
        if self._lost is not None:
            raise LedgerUnavailable(self._lost)
        await self.key_by_digest("")

    async def orphans(self, now_us: int) -> list[Hold]:
        """Open holds of processes that are gone, and those under this store's name from before it opened.

        A hold with a deadline is an orphan from then on and not before, whatever became of its process.
        """
        # Holds are read before the locks are tried. A process that starts in between may take over the name
        # of one that is gone, but none of these holds can be its own.
        rows = await self._read(LOADS["load_all_open_holds"])
        holds = [columns.hold_of(tuple(row)) for row in rows]
        owners = {hold.owner for hold in holds if hold.deadline_us is None}
        dead = await self._writing.run(partial(gone, self.path, owners))
        return [
            hold
            for hold in holds
            if (
                hold.owner in dead or hold.id in self._inherited
                if hold.deadline_us is None
                else hold.deadline_us <= now_us
            )
        ]

    async def key_by_digest(self, digest: str) -> Key | None:
        """The key with this digest, or None."""
        rows = await self._read(LOADS["load_key_by_digest"], (digest,))
        return columns.key_of(tuple(rows[0])) if rows else None

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """The rows of one of `READS`; columns of JSON come as text.

        Raises KeyError for an unknown name, and ValueError unless the parameters are those it takes.
        """
        query = READS[name]
        if params.keys() != query.params:
            raise ValueError(f"{name} takes {sorted(query.params)}, not {sorted(params)}")
        return [dict(row) for row in await self._read(query.sql, dict(params))]

    async def close(self) -> None:
        """Finish what was asked for, and release the file and the owner name; idempotent."""
        if self._closed:
            return
        self._closed = True
        async with self._opening:
            try:
                await self._readers.close()
            finally:
                await self._writing.run(self._release)
                self._writing.stop()

    def _acquire(self) -> None:
        with ExitStack() as stack:
            writer = prepare(self.path, busy_timeout_seconds=self._busy_timeout_seconds)
            stack.enter_context(closing(writer))
            self._owner = stack.enter_context(claim(self.path))
            open_holds = map(columns.hold_of, writer.execute(LOADS["load_all_open_holds"]))
            self._inherited = frozenset(hold.id for hold in open_holds if hold.owner == self._owner)
            self._log = WriteAheadLog(writer, self.path, sync=self._sync)
            stack.callback(self._log.close)
            self._batches = SqliteBatches(
                writer, keep_rows=self._keep_rows, busy_timeout_seconds=self._busy_timeout_seconds
            )
            self._resources = stack.pop_all()

    def _release(self) -> None:
        self._resources.close()

    def _opened(self) -> tuple[SqliteBatches, WriteAheadLog]:
        if self._closed or self._batches is None or self._log is None:
            raise LedgerUnavailable("the store is not open")
        return self._batches, self._log

    async def _read(self, sql: str, params: Parameters = ()) -> list[sqlite3.Row]:
        self._opened()
        with self._as_faults():
            return await self._readers.fetch(sql, params)

    @contextmanager
    def _as_faults(self) -> Iterator[None]:
        """Turn faults of the disk or of another process into LedgerUnavailable."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise ConstraintFault(f"{self.path}: {error}") from error
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnavailable(f"{self.path}: {error}") from error
