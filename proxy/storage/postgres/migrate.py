"""The schema of a PostgreSQL database: its migrations, and partitions for the months to come.

A process that changes the schema holds an advisory lock on it until the end of its transaction, so processes
that start at once change it one after the other. On CockroachDB the lock's function does nothing, and neither
it nor YugabyteDB undoes every change of a schema: there one process has to be started first.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import date
from typing import Final

import asyncpg
import msgspec

from proxy.storage.faults import StorageFault
from proxy.storage.migrate import Migration, bundled, check
from proxy.storage.postgres.functions import TEMPLATE, Functions
from proxy.storage.queries import load

STATEMENTS: Final = {name: query.sql for name, query in load("postgres/sql/store.sql").items()}
ENGINE: Final = "postgres"
MONTHS_AHEAD: Final = 2
"""How many months after this one get a partition in advance."""

ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('farebox ' || current_schema(), 0))"
ALONE_SECONDS: Final = 60.0
"""How long to wait for others that change the schema."""
ROOM_TRIES: Final = 60
ROOM_PAUSE_SECONDS: Final = 1.0
"""How often a step asks for tables that others use, and how long it leaves them to the others in between."""
STEP_SECONDS: Final = 24 * 3600.0
"""A step may have to go through all rows there are."""

# Set before the wait and not with it: a statement is bounded by the settings at its beginning.
_PATIENT: Final = f"""
SELECT set_config('lock_timeout', '{ALONE_SECONDS:.0f}s', TRUE), set_config('statement_timeout', '0', TRUE)
"""
# A statement that waits for a table, because of a long read, blocks everybody else who wants the table.
HURRIED: Final = "SET LOCAL lock_timeout = '1s'"
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""


class SchemaBusy(StorageFault):
    """Another process has been changing the schema all the time."""


class Revision(msgspec.Struct, frozen=True):
    """What a version of Farebox makes of a database: its migrations, and functions that go with the last."""

    migrations: tuple[Migration, ...]
    functions: Functions

    @classmethod
    def of(cls, migrations: tuple[Migration, ...], template: str = TEMPLATE) -> "Revision":
        """The schema that these migrations make."""
        return cls(migrations, Functions.of(len(migrations), template))


REVISION: Final = Revision.of(bundled(ENGINE))
"""This version's."""


async def bring_up_to_date(connection: asyncpg.Connection, revision: Revision = REVISION) -> None:
    """Apply the migrations that are missing, and make the functions. Raises as `migrate`.

    Processes of an earlier version may be at work meanwhile and afterwards, by their own functions; one of
    them that starts afterwards is refused.
    """
    await migrate(connection, revision.migrations)
    async with connection.transaction(isolation="read_committed"):
        await _be_alone(connection)
        await revision.functions.create(connection)


async def migrate(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[int]:
    """Apply the migrations that a database lacks; their numbers, none when it was up to date.

    Several processes may run it at once, and others may be at work. Raises StorageFault as its SQLite
    counterpart does, or when others leave no room, and other errors of the server as they are.
    """
    applied: list[int] = []
    while (step := await _apply_next(connection, migrations)) is not None:
        applied.append(step.number)
    return applied


async def make_months(connection: asyncpg.Connection) -> None:
    """Make the partitions of this month and those ahead, by the server's clock.

    A long read of receipts leaves no room for it; the missing months are then made another time.
    """
    with contextlib.suppress(asyncpg.LockNotAvailableError, SchemaBusy):
        async with connection.transaction(isolation="read_committed"):
            await _be_alone(connection)
            await connection.execute(HURRIED)
            month = await connection.fetchval(STATEMENTS["this_month"])
            for ahead in range(MONTHS_AHEAD + 1):
                await connection.execute(STATEMENTS["make_month"], months_after(month, ahead))


def months_after(month: date, count: int) -> date:
    """The first day of the month that is `count` months after a month, or before it."""
    year, index = divmod(month.year * 12 + month.month - 1 + count, 12)
    return date(year, index + 1, 1)


async def _be_alone(connection: asyncpg.Connection) -> None:
    """Take the lock on the schema until the transaction ends."""
    await connection.execute(_PATIENT)
    try:
        # The server ends a wait that takes too long; the timeout is for a server that does not answer.
        await connection.execute(ALONE, timeout=2 * ALONE_SECONDS)
    except asyncpg.LockNotAvailableError as error:
        raise SchemaBusy(
            f"another process has been changing its schema for {ALONE_SECONDS:.0f} seconds; start again later"
        ) from error


async def _apply_next(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> Migration | None:
    """Apply the first migration that is missing, as soon as it gets its tables; None when there is none."""
    for _ in range(ROOM_TRIES):
        try:
            async with connection.transaction(isolation="read_committed"):
                await _be_alone(connection)
                step = await _next(connection, migrations)
                if step is not None:
                    await _apply(connection, step)
                return step
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(ROOM_PAUSE_SECONDS)
    raise StorageFault("its tables are in use by others all the time; end long reads of them and start again")


async def _next(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> Migration | None:
    tables = [row["tablename"] for row in await connection.fetch(_TABLES)]
    if tables and "migrations" not in tables:
        raise StorageFault(f"it belongs to another program: it has the tables {', '.join(tables)}")
    await connection.execute(_RECORDS)
    records = await connection.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
    check([(row["number"], row["name"], row["sha256"]) for row in records], migrations)
    return migrations[len(records)] if len(records) < len(migrations) else None


async def _apply(connection: asyncpg.Connection, step: Migration) -> None:
    await connection.execute(HURRIED)
    try:
        await connection.execute(step.sql, timeout=STEP_SECONDS)
    except asyncpg.LockNotAvailableError:
        raise
    except asyncpg.PostgresError as error:
        raise StorageFault(f"the migration {step.name} failed: {error}") from error
    await connection.execute(
        "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)",
        step.number,
        step.name,
        step.sha256,
    )
