"""The schema of a PostgreSQL database: brought up to date, and prepared for the months to come.

Whoever changes the schema holds an advisory lock on it, until the end of the transaction that makes the
change: processes that start at once do so one after the other. CockroachDB takes the lock's function for a
no-op, and neither it nor YugabyteDB undoes every change of a schema: there one process has to be started
first.
"""

import contextlib
from collections.abc import Sequence
from datetime import date
from typing import Final

import asyncpg

from proxy.storage.faults import StorageFault
from proxy.storage.migrate import Migration, bundled, check
from proxy.storage.postgres.functions import FUNCTIONS
from proxy.storage.queries import load

STATEMENTS: Final = {name: query.sql for name, query in load("postgres/sql/store.sql").items()}
ENGINE: Final = "postgres"
MONTHS_AHEAD: Final = 2
"""For how many months after this one partitions are made, which is how long nobody need come back to it."""

ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('farebox ' || current_schema(), 0))"
ALONE_SECONDS: Final = 60.0
"""How long to wait for others that change the schema."""
STEP_SECONDS: Final = 24 * 3600.0
"""A step may have to go through all rows there are."""

# Before the wait and not with it: a statement is bounded by what holds when it begins.
_PATIENT: Final = f"""
SELECT set_config('lock_timeout', '{ALONE_SECONDS:.0f}s', TRUE), set_config('statement_timeout', '0', TRUE)
"""
# Whoever waits for a table that somebody reads at length lets nobody else have it meanwhile.
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


async def bring_up_to_date(connection: asyncpg.Connection) -> None:
    """Apply this version's migrations, and make its functions. Raises as `migrate`."""
    await migrate(connection, bundled(ENGINE))
    async with connection.transaction(isolation="read_committed"):
        await _be_alone(connection)
        await FUNCTIONS.create(connection)


async def migrate(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[int]:
    """Bring a database up to date; the numbers applied, which are none when it was.

    Safe to run from several processes at once. Raises StorageFault as its SQLite counterpart does, and
    whatever the server raises beside its answers.
    """
    applied: list[int] = []
    while True:
        async with connection.transaction(isolation="read_committed"):
            await _be_alone(connection)
            step = await _next(connection, migrations)
            if step is None:
                return applied
            await _apply(connection, step)
        applied.append(step.number)


async def make_months(connection: asyncpg.Connection) -> None:
    """Make the partitions of this month and those ahead, by the server's clock.

    When receipts are being read at length there is no place for it, and what is missing is made another time.
    """
    with contextlib.suppress(asyncpg.LockNotAvailableError):
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
    """Wait until nobody else changes the schema, and be the only one until the transaction ends."""
    await connection.execute(_PATIENT)
    # The server tells when this took too long; only one that does not answer at all is given up here.
    await connection.execute(ALONE, timeout=2 * ALONE_SECONDS)


async def _next(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> Migration | None:
    tables = [row["tablename"] for row in await connection.fetch(_TABLES)]
    if tables and "migrations" not in tables:
        raise StorageFault(f"it belongs to another program: it has the tables {', '.join(tables)}")
    await connection.execute(_RECORDS)
    records = await connection.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
    check([(row["number"], row["name"], row["sha256"]) for row in records], migrations)
    return migrations[len(records)] if len(records) < len(migrations) else None


async def _apply(connection: asyncpg.Connection, step: Migration) -> None:
    try:
        await connection.execute(step.sql, timeout=STEP_SECONDS)
    except asyncpg.PostgresError as error:
        raise StorageFault(f"the migration {step.name} failed: {error}") from error
    await connection.execute(
        "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)",
        step.number,
        step.name,
        step.sha256,
    )
