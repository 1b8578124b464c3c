"""The storage engine on one SQLite file, which several processes may share."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from proxy.ledger.commands import Command, Result
from proxy.ledger.rows import Hold, Key
from proxy.ledger.store import LedgerUnavailable, Row
from proxy.storage import columns
from proxy.storage.faults import ConstraintFault, StorageFault
from proxy.storage.owners import claim, gone
from proxy.storage.queries import PORTABLE_READS, Query, load
from proxy.storage.sqlite.batch import SqliteBatches
from proxy.storage.sqlite.file import open_for_reading, path_of, prepare
from proxy.storage.sqlite.job_thread import JobThread
from proxy.storage.sqlite.load import LOADS
from proxy.storage.sqlite.log import SYNC_DATA, WriteAheadLog

READS: Final[dict[str, Query]] = load(*PORTABLE_READS, "sqlite/sql/read.sql")
"""The named queries, with what each is for and the parameters it takes."""

_Answer = TypeVar("_Answer")


class SqliteStore:
    """A `Store` on the file at `location`, which is a path or a `sqlite:///` URL.

    A batch is carried out on the event loop, in less than a millisecond or two, and made durable by a thread:
    statements are so short that handing each of them, and the interpreter, to a thread and back takes longer
    than they do. `readers` threads serve everything else. A batch waits up to `busy_timeout_seconds` for
    another process to finish its own. `sync` makes a file's data durable. Up to `keep_rows` rows stay in
    memory between batches. Raises StorageFault for a location that is no file.
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
        self._reading = ThreadPoolExecutor(readers, "farebox-read")
        self._readers = readers
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._batches: SqliteBatches | None = None
        self._log: WriteAheadLog | None = None
        self._one_batch = asyncio.Lock()
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

        Raises StorageFault, with everything let go of, when the file cannot be used. A store opens once.
        """
        await self._writing.run(self._connect)

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Nothing of it is stored when this raises.

        Raises LedgerUnavailable if it could not be committed, and ConstraintFault if one of the commands
        would break the schema's constraints. When the disk fails after the commit, nobody can know what is
        stored: then this and every later batch is refused, until a new process has looked and recovered.
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
                # What the system failed to write it may forget: a later sync that succeeds proves nothing.
                self._lost = str(error)
                raise
            return results

    async def orphans(self, now_us: int) -> list[Hold]:
        """Open holds whose process is gone, those under this store's name from before it was opened included.

        One that has a deadline is none before that, and always is from then on.
        """
        return await self._read(partial(self._find_orphans, now_us))

    async def key_by_digest(self, digest: str) -> Key | None:
        """The key with this digest, or None."""

        def find(connection: sqlite3.Connection) -> Key | None:
            row = connection.execute(LOADS["load_key_by_digest"], (digest,)).fetchone()
            return None if row is None else columns.key_of(row)

        return await self._read(find)

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """The rows of one of `READS`; columns of JSON come as text.

        Raises KeyError for an unknown name, and ValueError unless the parameters are those it takes.
        """
        query = READS[name]
        if params.keys() != query.params:
            raise ValueError(f"{name} takes {sorted(query.params)}, not {sorted(params)}")

        def select(connection: sqlite3.Connection) -> list[Row]:
            cursor = connection.execute(query.sql, dict(params))
            names = [name for name, *_ in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return await self._read(select)

    async def close(self) -> None:
        """Finish what has been asked for, and let go of the file and the owner name; idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._writing.run(self._disconnect)
        self._writing.stop()

    def _connect(self) -> None:
        try:
            self._acquire()
        except (StorageFault, OSError, sqlite3.Error) as error:
            raise StorageFault(f"{self.path}: {error}") from error

    def _acquire(self) -> None:
        with ExitStack() as stack:
            writer = prepare(self.path, busy_timeout_seconds=self._busy_timeout_seconds)
            stack.enter_context(closing(writer))
            self._owner = stack.enter_context(claim(self.path))
            for _ in range(self._readers):
                reader = open_for_reading(self.path, busy_timeout_seconds=self._busy_timeout_seconds)
                self._idle.put(stack.enter_context(closing(reader)))
            open_holds = map(columns.hold_of, writer.execute(LOADS["load_all_open_holds"]))
            self._inherited = frozenset(hold.id for hold in open_holds if hold.owner == self._owner)
            self._log = WriteAheadLog(writer, self.path, sync=self._sync)
            stack.callback(self._log.close)
            self._batches = SqliteBatches(
                writer, keep_rows=self._keep_rows, busy_timeout_seconds=self._busy_timeout_seconds
            )
            self._resources = stack.pop_all()

    def _disconnect(self) -> None:
        # The threads that read are done with their connections before these are closed.
        self._reading.shutdown()
        self._resources.close()

    def _opened(self) -> tuple[SqliteBatches, WriteAheadLog]:
        if self._closed or self._batches is None or self._log is None:
            raise LedgerUnavailable("the store is not open")
        return self._batches, self._log

    def _find_orphans(self, now_us: int, connection: sqlite3.Connection) -> list[Hold]:
        # Holds are read before the locks are looked at. A process that starts in between may take over the
        # name of one that is gone, but none of these holds can be its own.
        holds = [columns.hold_of(row) for row in connection.execute(LOADS["load_all_open_holds"])]
        dead = gone(self.path, {hold.owner for hold in holds if hold.deadline_us is None})
        return [
            hold
            for hold in holds
            if (
                hold.owner in dead or hold.id in self._inherited
                if hold.deadline_us is None
                else hold.deadline_us <= now_us
            )
        ]

    async def _read(self, job: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        self._opened()

        def run() -> _Answer:
            connection = self._idle.get()
            try:
                return job(connection)
            finally:
                self._idle.put(connection)

        with self._as_faults():
            return await asyncio.get_running_loop().run_in_executor(self._reading, run)

    @contextmanager
    def _as_faults(self) -> Iterator[None]:
        """What the disk or another process spoils is LedgerUnavailable."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise ConstraintFault(f"{self.path}: {error}") from error
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnavailable(f"{self.path}: {error}") from error
