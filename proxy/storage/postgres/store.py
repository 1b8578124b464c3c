"""The storage engine on PostgreSQL, which any number of processes and machines may share.

It needs PostgreSQL 14 or newer, and sessions of its own: a pooler in between must work by session, not by
transaction. Where databases that speak its protocol differ, a comment at that place says so.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.commands import Command, Result
from proxy.ledger.rows import Caller, Hold
from proxy.ledger.store import LedgerUnavailable, Row
from proxy.storage import columns
from proxy.storage.faults import ConstraintFault, StorageFault
from proxy.storage.postgres.batch import PostgresBatches
from proxy.storage.postgres.lease import Fetch, Lease
from proxy.storage.postgres.migrate import REVISION, STATEMENTS, Revision, bring_up_to_date, make_months
from proxy.storage.postgres.read import ReadPool
from proxy.storage.postgres.retain import retain
from proxy.storage.postgres.session import FAILURES, Timeouts, as_faults, connect, let_go, reason, shown
from proxy.tasks import Tasks

BEATS_IN_A_LEASE: Final = 6
"""How many times a lease is extended in its length."""
MONTHS_SECONDS: Final = 60.0
"""How often the store checks whether it is time to make or delete months."""
PREPARE_SECONDS: Final = 24 * 3600.0
RETAIN_SECONDS: Final = 24 * 3600.0
PROVEN_SECONDS: Final = 0.5
"""For how long a stored batch shows that commits succeed."""


class PostgresStore:
    """A `Store` on the database at `location`, a `postgresql://` URL as libpq knows it.

    One connection is for batches, up to `readers` are for everything else. A batch is tried again for up to
    `patience_seconds`. A process that was not closed and has not extended its lease for `lease_seconds`
    counts as gone. `tasks` runs what extends the lease, and what deletes receipts after `keep_months`.
    Opening brings the database up to `revision`; another process may bring it further while this store is
    open.
    """

    def __init__(
        self,
        location: str,
        *,
        tasks: Tasks,
        readers: int = 4,
        patience_seconds: float = 10.0,
        lease_seconds: float = 180.0,
        keep_months: int | None = None,
        timeouts: Timeouts | None = None,
        revision: Revision = REVISION,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.location = location
        self.alerts: Alerts = SILENT
        self._tasks = tasks
        self._timeouts = timeouts or Timeouts()
        self._revision = revision
        self._patience_seconds = patience_seconds
        self._lease_seconds = lease_seconds
        self._keep_months = keep_months
        self._monotonic = monotonic
        self._sleep = sleep
        self._reader = ReadPool(location, self._timeouts, connections=readers)
        self._lease = Lease(self._reader.fetch, lease_seconds=lease_seconds)
        self._batches: PostgresBatches | None = None
        self._one_batch = asyncio.Lock()
        self._upkeep: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def owner(self) -> str:
        """This process's name on the holds it makes from now on, such as `owner-7`; empty until open.

        It changes when the process was cut off from the database for so long that it was found gone.
        """
        return self._lease.name

    async def open(self) -> None:
        """Connect, bring the schema up to date, and claim an owner name.

        Raises StorageFault, with everything released, when the database cannot be used. A store opens once.
        """
        try:
            async with AsyncExitStack() as stack:
                await self._prepare(schema=True)
                stack.push_async_callback(self._reader.close)
                await self._reader.open()
                await self._lease.open()
                stack.pop_all()
        except (StorageFault, ConstraintFault, LedgerUnavailable, *FAILURES) as error:
            raise StorageFault(f"{shown(self.location)}: {reason(error)}") from error
        self._batches = PostgresBatches(
            self.location,
            self._timeouts,
            functions=self._revision.functions,
            lease=self._lease,
            patience_seconds=self._patience_seconds,
            monotonic=self._monotonic,
            sleep=self._sleep,
        )
        self._upkeep = [
            self._tasks.spawn(self._beat(), name="ledger lease"),
            self._tasks.spawn(self._see_to_months(), name="ledger months"),
        ]

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Nothing of it is stored when this raises.

        Raises ConstraintFault if one of the commands would break the schema's constraints, and
        LedgerUnavailable if the batch could not be committed. After a connection was lost at the commit, the
        next batch finds out whether it was committed, and undoes its holds.
        """
        async with self._one_batch:
            batches = self._opened()
            if not commands:
                return []
            batches.alerts = self.alerts
            return await batches.apply(commands)

    async def probe(self) -> None:
        """Read and commit on a new session, as a process would that has none.

        A server without a session to spare may go on with those there are. A process that has just stored a
        batch need not commit, and does not make the next one wait.
        """
        batches = self._opened()
        commits = self._monotonic() - batches.stored_at >= PROVEN_SECONDS
        with as_faults(self.location):
            try:
                connection = await connect(self.location, self._timeouts, probing=True)
            except asyncpg.TooManyConnectionsError:
                await self._find_nothing(self._reader.fetch, commits=commits)
                return
            try:
                await self._find_nothing(connection.fetch, commits=commits)
            finally:
                connection.terminate()

    async def _find_nothing(self, fetch: Fetch, *, commits: bool) -> None:
        await fetch(STATEMENTS["caller_by_digest"], "")
        if commits:
            await fetch(STATEMENTS["touch_owner"], self._lease.name)

    async def loss(self) -> str:
        """Wait for ever: the files are the server's, and a process that was cut off takes a new name."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def orphans(self, now_us: int) -> list[Hold]:
        """Open holds of processes that are gone, which can make no more under their names.

        A hold with a deadline is an orphan from then on and not before, whatever became of its process.
        """
        self._opened()
        return await self._lease.orphans(now_us)

    async def take_lease(self, name: str, seconds: float) -> bool:
        """Whether this process has the lease of this name, for so many seconds from now on."""
        self._opened()
        return await self._lease.take(name, seconds)

    async def caller_by_digest(self, digest: str) -> Caller | None:
        """The key with this digest and its account's group, or None."""
        self._opened()
        rows = await self._reader.fetch(STATEMENTS["caller_by_digest"], digest)
        return columns.caller_of(tuple(rows[0])) if rows else None

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        """The rows of one of `READS`; columns of JSON come as text.

        Raises KeyError for an unknown name, and ValueError unless the parameters are those it takes.
        """
        self._opened()
        return await self._reader.query(name, params)

    async def retain(self, months: int) -> int:
        """Drop the receipts of calls authorized before this month and the last `months` whole ones.

        Their holds go with them, so that a call's id leads to both or to neither; entries and the sums of
        days stay. Returns how many receipts went, 0 when another process is deleting. Raises
        LedgerUnavailable; the rest then goes the next time.
        """
        self._opened()
        with as_faults(self.location):
            connection = await connect(self.location, self._timeouts)
            try:
                return await retain(connection, months)
            finally:
                await let_go(connection, self._timeouts)

    async def close(self) -> None:
        """Finish what was asked for, and release the database and the owner name; idempotent."""
        if self._closed:
            return
        self._closed = True
        for task in self._upkeep:
            task.cancel()
        async with self._one_batch:
            if self._batches is not None:
                await self._batches.close()
            # Others learn of it at once or, when the database does not answer, at the end of the lease.
            with contextlib.suppress(LedgerUnavailable):
                await self._lease.close()
            await self._reader.close()

    async def _prepare(self, *, schema: bool) -> None:
        """Make the partitions of the months to come; bring the schema up to date first if `schema`."""
        connection = await connect(self.location, self._timeouts)
        try:
            if schema:
                await bring_up_to_date(connection, self._revision)
            await make_months(connection)
        finally:
            await let_go(connection, self._timeouts)

    async def _beat(self) -> None:
        """Extend the lease and end an unused transaction, again and again."""
        while True:
            await self._sleep(self._lease_seconds / BEATS_IN_A_LEASE)
            try:
                await self._lease.renew()
                async with self._one_batch:
                    await self._opened().rest()
            except (LedgerUnavailable, ConstraintFault, StorageFault):
                # The next batch reports the fault, and the next beat tries again.
                continue

    async def _see_to_months(self) -> None:
        """Once a day make the months to come and delete old ones; the lease cannot wait for that."""
        prepared, let_go = self._monotonic(), -math.inf
        while True:
            await self._sleep(MONTHS_SECONDS)
            try:
                if self._monotonic() - prepared >= PREPARE_SECONDS:
                    with as_faults(self.location):
                        await self._prepare(schema=False)
                    prepared = self._monotonic()
                if self._keep_months is not None and self._monotonic() - let_go >= RETAIN_SECONDS:
                    await self.retain(self._keep_months)
                    let_go = self._monotonic()
            except (LedgerUnavailable, ConstraintFault, StorageFault):
                continue  # It is tried again soon, long before a month is needed.

    def _opened(self) -> PostgresBatches:
        if self._closed or self._batches is None:
            raise LedgerUnavailable("the store is not open")
        return self._batches
