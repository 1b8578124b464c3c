"""The storage engine on one SQLite file, which several processes may share."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Final

from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.commands import Command, Result
from proxy.ledger.rows import Caller, Hold
from proxy.ledger.store import LedgerLost, LedgerUnavailable, Row
from proxy.storage import columns
from proxy.storage.faults import ConstraintFault, StorageFault
from proxy.storage.owners import claim, gone, take
from proxy.storage.queries import PORTABLE_READS, Query, load, rows_of
from proxy.storage.sqlite.batch import SqliteBatches
from proxy.storage.sqlite.file import is_busy, path_of, prepare
from proxy.storage.sqlite.job_thread import JobThread
from proxy.storage.sqlite.load import LOADS
from proxy.storage.sqlite.log import SYNC_DATA, WriteAheadLog
from proxy.storage.sqlite.open_files import OpenFiles
from proxy.storage.sqlite.read import READ_SECONDS, Parameters, SqliteReaders

READS: Final[dict[str, Query]] = load(*PORTABLE_READS, "sqlite/sql/read.sql")
"""The named queries, with what each is for and the parameters it takes."""
FRESH_SECONDS: Final = 0.01
"""How long a look at the files counts for the batches that follow. A busy process has many in that time."""
ABANDON_SECONDS: Final = 0.25
"""After how long an opening that waits for another process notices that it is not wanted any more."""
LOOK_SECONDS: Final = 0.5
"""How often the files are looked at when there is no batch."""


class SqliteStore:
    """A `Store` on the file at `location`, which is a path or a `sqlite:///` URL.

    A batch runs on the event loop, in a millisecond or two, and a thread makes it durable: a statement takes
    less time than the way to a thread and back. One connection looks up keys, and `readers` connections serve
    everything else, in threads; a read may take `read_seconds`. A batch waits for up to
    `busy_timeout_seconds` until another process has finished its own. `sync` makes a file's data durable. Up
    to `keep_rows` rows stay in memory between batches. Raises StorageFault for a location that is not a file.

    A store is lost when one of its files is not the one under its name any more, or when the disk fails after
    a commit. What it wrote after that would not be found by anyone.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        busy_timeout_seconds: float = 10.0,
        readers: int = 2,
        read_seconds: float = READ_SECONDS,
        keep_rows: int = 100_000,
        sync: Callable[[int], None] = SYNC_DATA,
        monotonic: Callable[[], float] = time.monotonic,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.path = path_of(location)
        self._as_faults = _Faults(self.path)
        self.alerts: Alerts = SILENT
        self._busy_timeout_seconds = busy_timeout_seconds
        self._keep_rows = keep_rows
        self._sync = sync
        self._monotonic = monotonic
        self._look_seconds = look_seconds
        self._writing = JobThread("farebox-sync")
        reading = partial(
            SqliteReaders, self.path, busy_timeout_seconds=busy_timeout_seconds, read_seconds=read_seconds
        )
        self._readers = reading(connections=readers)
        # A call looks its key up first. No report, however long, may keep it waiting.
        self._key_readers = reading(connections=1)
        self._batches: SqliteBatches | None = None
        self._log: WriteAheadLog | None = None
        self._one_batch = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._files: OpenFiles | None = None
        self._looked_at = -FRESH_SECONDS
        self._loss = ""
        self._is_lost = asyncio.Event()
        self._abandoned = Event()
        self._resources = ExitStack()
        self._closed = False
        self._owner = ""
        self._inherited: frozenset[str] = frozenset()
        self._leases: dict[str, int] = {}

    @property
    def owner(self) -> str:
        """This process's name on the holds it makes, such as `owner-0-81f2`; empty until it is open."""
        return self._owner

    async def open(self) -> None:
        """Make the file if there is none, bring it up to date, and claim an owner name.

        Raises StorageFault, with everything released, when the file cannot be used. A store opens once. A
        cancel ends also a wait for other processes.
        """
        async with self._opening:
            try:
                await self._writing.run(self._acquire)
                await self._readers.open()
                await self._key_readers.open()
                # The readers have opened the file by its name once more, which has to be the same file.
                self._look()
            except BaseException as error:
                self._abandoned.set()
                await self._let_go()
                if isinstance(error, StorageFault | LedgerLost | OSError | sqlite3.Error):
                    raise StorageFault(f"{self.path}: {error}") from error
                raise

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Nothing of it is stored when this raises.

        Raises LedgerUnavailable if it could not be committed, and ConstraintFault if a command would break
        the schema's constraints. When the disk fails after the commit, it is unknown what is stored: the
        store is lost, until a new process has opened the file and recovered.
        """
        async with self._one_batch:
            batches, log = self._opened()
            with self._as_faults:
                await batches.begin()
                batches.alerts = self.alerts
                results = batches.apply(commands)
            try:
                with self._as_faults:
                    await self._writing.run(log.make_durable)
            except LedgerUnavailable as error:
                # The system may forget what it failed to write: a later sync that succeeds proves nothing.
                self._lose(f"a commit may be lost, only a restart can tell: {error}")
                raise LedgerLost(self._loss) from error
            return results

    async def probe(self) -> None:
        """Read from the file. A write would take the one write lock, and wear the disk; batches try it."""
        await self.caller_by_digest("")

    async def loss(self) -> str:
        """Wait until the store is lost, with a look at its files now and then; returns why."""
        while not self._loss:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._is_lost.wait()
            with suppress(LedgerLost):
                self._look()
        return self._loss

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

    async def take_lease(self, name: str, seconds: float) -> bool:  # noqa: ARG002 - a lock ends with its process.
        """Whether this process has the lock of this name on a file beside the database; it keeps it then."""
        self._opened()
        with self._as_faults:
            await self._writing.run(partial(self._take, name))
        return name in self._leases

    async def caller_by_digest(self, digest: str) -> Caller | None:
        """The key with this digest and its account's group, or None."""
        rows = await self._read(LOADS["load_caller_by_digest"], (digest,), readers=self._key_readers)
        return columns.caller_of(tuple(rows[0])) if rows else None

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """The rows of one of `READS`; columns of JSON come as text.

        Raises KeyError for an unknown name, and ValueError unless the parameters are those it takes.
        """
        query = READS[name]
        if params.keys() != query.params:
            raise ValueError(f"{name} takes {sorted(query.params)}, not {sorted(params)}")
        return await rows_of(await self._read(query.sql, dict(params)))

    async def close(self) -> None:
        """Finish what was asked for, and release the file and the owner name; idempotent."""
        if self._closed:
            return
        self._closed = True
        async with self._opening:
            await self._let_go()

    async def _let_go(self) -> None:
        # The last that is put here is let go first, and a fault in one keeps none of the others.
        async with AsyncExitStack() as parts:
            parts.callback(self._writing.stop)
            parts.push_async_callback(self._writing.run, self._release)
            parts.push_async_callback(self._key_readers.close)
            parts.push_async_callback(self._readers.close)

    def _acquire(self) -> None:
        with ExitStack() as stack:
            writer = self._prepared()
            stack.enter_context(closing(writer))
            owner = stack.enter_context(claim(self.path))
            self._owner = owner.name
            open_holds = map(columns.hold_of, writer.execute(LOADS["load_all_open_holds"]))
            self._inherited = frozenset(hold.id for hold in open_holds if hold.owner == self._owner)
            self._log = WriteAheadLog(writer, self.path, sync=self._sync)
            stack.callback(self._log.close)
            beside = [Path(f"{self.path}-wal"), Path(f"{self.path}-shm"), owner.file]
            self._files = OpenFiles(self.path, beside)
            self._batches = SqliteBatches(
                writer,
                keep_rows=self._keep_rows,
                busy_timeout_seconds=self._busy_timeout_seconds,
                check=self._look_unless_fresh,
            )
            self._resources = stack.pop_all()

    def _prepared(self) -> sqlite3.Connection:
        """A connection for writing. Short waits for another process's batch follow one another."""
        deadline = self._monotonic() + self._busy_timeout_seconds
        wait_seconds = min(ABANDON_SECONDS, self._busy_timeout_seconds)
        while True:
            try:
                return prepare(self.path, busy_timeout_seconds=wait_seconds, abandoned=self._abandoned)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or self._abandoned.is_set() or self._monotonic() >= deadline:
                    raise

    def _take(self, name: str) -> None:
        if name not in self._leases and (descriptor := take(self.path, f"lease-{name}")) is not None:
            self._leases[name] = descriptor

    def _release(self) -> None:
        self._files = None
        while self._leases:
            os.close(self._leases.popitem()[1])
        self._resources.close()

    def _look_unless_fresh(self) -> None:
        if self._monotonic() - self._looked_at >= FRESH_SECONDS:
            self._look()

    def _look(self) -> None:
        """Raise LedgerLost unless every file is the one under its name."""
        if self._files is not None and not self._loss:
            self._looked_at = self._monotonic()
            if loss := self._files.loss():
                self._lose(f"{loss}; Farebox has to be started again")
        if self._loss:
            raise LedgerLost(self._loss)

    def _lose(self, reason: str) -> None:
        self._loss = reason
        self._is_lost.set()

    def _opened(self) -> tuple[SqliteBatches, WriteAheadLog]:
        if self._loss:
            raise LedgerLost(self._loss)
        if self._closed or self._batches is None or self._log is None:
            raise LedgerUnavailable("the store is not open")
        return self._batches, self._log

    async def _read(
        self, sql: str, params: Parameters = (), *, readers: SqliteReaders | None = None
    ) -> list[sqlite3.Row]:
        self._opened()
        with self._as_faults:
            return await (readers or self._readers).fetch(sql, params)


class _Faults:
    """Turns faults of the disk or of another process into LedgerUnavailable, for all that a store does.

    It keeps nothing, so that one serves every batch: a generator would have to be made for each.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing has to be taken note of."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
            raise ConstraintFault(f"{self._path}: {error}") from error
        is_ours = isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)
        if isinstance(error, sqlite3.Error | OSError) and not is_ours:
            raise LedgerUnavailable(f"{self._path}: {error}") from error
