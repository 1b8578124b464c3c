"""One batch on PostgreSQL: lock and load, run the rules, write and commit.

A batch takes two round trips. The first is one statement: a function locks the batch's accounts in the order
of their ids and returns the rows that the rules need. Locks taken in one order cannot deadlock. The second is
three statements in one message: a function that writes everything, COMMIT, and the BEGIN of the next batch.
So each batch finds its transaction begun. At READ COMMITTED an unused transaction has no lock, no snapshot
and no number, and hinders nobody; `rest` ends it when no batch comes. The first batch of a connection, or
after a rest or a failure, takes a third round trip for its BEGIN.

Some faults are over soon: a deadlock with another statement, a lock that another batch holds too long, a
lost connection, a server that starts or is read-only after a failover. The batch is then carried out again
from its beginning, for up to `patience_seconds`.

When the second round trip fails, and the server has not said that it undid the batch, it is not known whether
the batch was committed. The next load finds out before anything else is done: the write counts the process's
batches in a row that the load locks. Once the load has that row, the old connection's work has ended, and the
count shows whether it was committed. If it was, its commands keep the results they had, even when they come
again in another batch. An authorize that does not come again, because its caller was turned away meanwhile,
is voided. If it was not committed, nothing has happened. A process that dies without knowing leaves holds
that are recovered like any others.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import asyncpg
import msgspec
from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.books import Books
from proxy.ledger.commands import Authorize, Command, Granted, Result, Void
from proxy.ledger.needs import needs_of
from proxy.ledger.rows import Outcome
from proxy.storage.postgres.functions import Functions
from proxy.storage.postgres.lease import Lease
from proxy.storage.postgres.load import loaded_of, question
from proxy.storage.postgres.session import (
    FAILURES,
    Timeouts,
    connect,
    fault_of,
    is_constraint,
    is_passing,
    is_taken,
    is_undone,
    let_go,
)
from proxy.storage.postgres.write import Stored, change_of, write_of

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
FIRST_RETRY_SECONDS: Final = 0.01
LAST_RETRY_SECONDS: Final = 0.5


class UnansweredBatch(msgspec.Struct, frozen=True, eq=False):
    """A batch whose results no caller has got: its number in the process, its commands and their results."""

    number: int
    commands: Sequence[Command]
    results: Sequence[Result]

    def voids(self) -> Iterator[tuple[int, Void]]:
        """The void of each hold that was made, with the identity of the command that made it."""
        for command, result in zip(self.commands, self.results, strict=True):
            if isinstance(command, Authorize) and isinstance(result, Granted):
                outcome = Outcome("ledger_unavailable", 503, "void", {}, command.at_us)
                yield id(command), command.void(outcome)


class PostgresBatches:
    """Batches on a connection of their own, one after the other, under the owner name of `lease`.

    They call `functions`, which the database must have.

    After a batch has failed for `patience_seconds`, the next ones are tried once each until one succeeds.
    `stored_at` is when the last one was that changed anything, by `monotonic`. `alerts` are what the rules
    tell of, and may be replaced between two batches.
    """

    def __init__(
        self,
        location: str,
        timeouts: Timeouts,
        *,
        functions: Functions,
        lease: Lease,
        patience_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._location = location
        self._timeouts = timeouts
        self._functions = functions
        self._lease = lease
        self._owner = lease.name
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._connection: asyncpg.Connection | None = None
        self._unsure: UnansweredBatch | None = None
        self._untold: list[UnansweredBatch] = []
        self._down = False
        self._rested = False
        self.stored_at = -math.inf
        self.alerts: Alerts = SILENT

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out a batch; one result for each command. Raises LedgerUnavailable or ConstraintFault."""
        deadline = self._monotonic() + (0 if self._down else self._patience_seconds)
        retry_seconds, was_taken = FIRST_RETRY_SECONDS, False
        while True:
            try:
                results = await self._attempt(commands)
            except FAILURES as error:
                await self._after(error)
                if is_taken(error) and not was_taken:
                    was_taken = True
                    continue
                if is_constraint(error):
                    raise fault_of(error, self._location) from error
                if self._monotonic() >= deadline:
                    self._down = True
                    raise fault_of(error, self._location) from error
                await self._sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, LAST_RETRY_SECONDS)
            except BaseException:
                self._drop()
                raise
            else:
                self._down = self._rested = False
                self._untold.clear()
                return results

    async def rest(self) -> None:
        """End the transaction that waits for a batch, if none has come since the last rest."""
        connection = self._connection
        if self._rested and connection is not None and connection.is_in_transaction():
            with contextlib.suppress(*FAILURES):
                await connection.execute("ROLLBACK")
        self._rested = True

    async def close(self) -> None:
        """Let go of the connection; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await let_go(connection, self._timeouts)

    async def _attempt(self, commands: Sequence[Command]) -> list[Result]:
        connection = await self._begun()
        past = [*self._untold, self._unsure] if self._unsure else self._untold
        needs = needs_of([*(void for sent in past for _, void in sent.voids()), *commands])
        loaded = loaded_of(await connection.fetchval(self._functions.load, *question(self._owner, needs)))
        number = (loaded.batches or 0) + 1
        self._find_out(number)
        if loaded.gone:
            await connection.execute("ROLLBACK")
            self._owner = await self._lease.name_after(self._owner)
            return await self._attempt(commands)
        prior_results = {
            id(command): result
            for sent in self._untold
            for command, result in zip(sent.commands, sent.results, strict=True)
        }
        new = [command for command in commands if id(command) not in prior_results]
        results = await self._carry_out(connection, loaded.books(), number, new, _identities(commands))
        prior_results.update((id(command), result) for command, result in zip(new, results, strict=True))
        return results if len(new) == len(commands) else [prior_results[id(command)] for command in commands]

    async def _carry_out(
        self,
        connection: asyncpg.Connection,
        books: Books,
        number: int,
        commands: Sequence[Command],
        here: frozenset[int],
    ) -> list[Result]:
        """Run the rules and commit. Commands of this batch, by their identities in `here`, are not voided."""
        stored = Stored.of(books)
        books.alerts = self.alerts
        for sent in self._untold:
            for identity, void in sent.voids():
                if identity not in here:
                    rules.apply(books, void)
        results = [rules.apply(books, self._owned(command)) for command in commands]
        books.add_up()
        change = change_of(books, stored)
        if not change:
            await connection.execute(f"COMMIT; {BEGIN}")
            return results
        self._unsure = UnansweredBatch(number, commands, results)
        try:
            write = write_of(self._functions, change, owner=self._owner, batch=number)
            await connection.execute(f"{write}; COMMIT; {BEGIN}")
        except FAILURES as error:
            if is_undone(error):
                self._unsure = None
            raise
        self._unsure = None
        self.stored_at = self._monotonic()
        return results

    def _find_out(self, next_number: int) -> None:
        """Learn from the number of the next batch whether the uncertain one was committed."""
        unsure, self._unsure = self._unsure, None
        if unsure is not None and unsure.number < next_number:
            self._untold.append(unsure)

    def _owned(self, command: Command) -> Command:
        """A command under the process's present name, which may have changed since the command was made."""
        if isinstance(command, Authorize) and command.owner in self._lease.names:
            return replace(command, owner=self._owner)
        return command

    async def _begun(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._location, self._timeouts, keyed=True)
        if not self._connection.is_in_transaction():
            await self._connection.execute(BEGIN)
        return self._connection

    async def _after(self, error: BaseException) -> None:
        """Prepare the connection for another attempt, or drop it."""
        connection = self._connection
        if connection is None:
            return
        if not connection.is_closed() and (is_undone(error) or is_passing(error)):
            try:
                await connection.execute("ROLLBACK")
            except FAILURES:
                self._drop()
        else:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _identities(commands: Sequence[Command]) -> frozenset[int]:
    return frozenset(map(id, commands))
