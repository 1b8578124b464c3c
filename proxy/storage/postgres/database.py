"""A whole PostgreSQL database, for the commands that read or fill all of it.

No call is served in the same process, so every step simply waits.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, Final, TypeVar

import asyncpg
from asyncpg.transaction import Transaction

from proxy.ledger.windows import EPOCH
from proxy.storage.database import TABLES, Chunk
from proxy.storage.faults import StorageFault
from proxy.storage.migrate import bundled, check
from proxy.storage.postgres.migrate import ENGINE, STATEMENTS, bring_up_to_date, make_months
from proxy.storage.postgres.session import FAILURES, Timeouts, connect, shown
from proxy.storage.tables import BY_NAME, RECEIPTS

CHUNK_ROWS: Final = 1000
_DAYS_SECONDS: Final = 7 * 86_400.0
PATIENT: Final = Timeouts(
    statement_seconds=_DAYS_SECONDS, idle_seconds=_DAYS_SECONDS, locked_seconds=_DAYS_SECONDS
)
"""Sorting a large table takes longer than a call may wait."""
_DAY: Final = RECEIPTS.place("day")
_COLUMNS: Final = {name: [column.name for column in table.columns] for name, table in BY_NAME.items()}

_MIGRATED: Final = "SELECT to_regclass('migrations') IS NOT NULL"
_RECORDS: Final = "SELECT number, name, sha256 FROM migrations ORDER BY number"
_SERVING: Final = "SELECT name FROM owners WHERE NOT gone AND lease_until > clock_timestamp() ORDER BY name"
_FIRST_OTHER_DAY: Final = "SELECT MIN(day) FROM receipts_other"
_NOTED: Final = "SELECT receipts_since_day FROM retention"

_Answer = TypeVar("_Answer")


class _Session:
    """One connection with an event loop of its own, which runs every step to its end."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._runner = asyncio.Runner()
        try:
            self.connection = self.run(connect(location, PATIENT))
        except BaseException:
            self._runner.close()
            raise

    def run(self, step: Coroutine[Any, Any, _Answer]) -> _Answer:
        """The result of a step. Raises StorageFault for every fault of the server or the network."""
        try:
            return self._runner.run(step)
        except StorageFault as fault:
            raise StorageFault(f"{shown(self._location)}: {fault}") from fault
        except FAILURES as error:
            text = str(error) or type(error).__name__
            raise StorageFault(f"{shown(self._location)}: {text}") from error

    def fetch(self, sql: str, *values: object) -> list[Any]:
        """All rows of a query that has few. Raises StorageFault."""
        return self.run(self.connection.fetch(sql, *values))

    def close(self) -> None:
        """Drop the connection, and what was not committed on it."""
        self.connection.terminate()
        self._runner.close()


class PostgresScan:
    """All rows of a database, by a session on which a database transaction is open."""

    # Sums over all accounts would make the batches of all machines wait for each other.
    keeps_totals: Final = False

    def __init__(self, session: _Session) -> None:
        self._session = session

    @property
    def receipts_since_day(self) -> int:
        """The first day of the oldest month there is, or of an older receipt outside all months.

        While a month is being deleted, its receipts may still be there when its holds are gone: the day that
        was stored before the first one went is the least.
        """
        days = [
            (date(int(row["name"][-7:-3]), int(row["name"][-2:]), 1) - EPOCH).days
            for row in self._session.fetch(STATEMENTS["month_partitions"])
        ]
        ((other,),) = self._session.fetch(_FIRST_OTHER_DAY)
        noted: list[int] = [row["receipts_since_day"] for row in self._session.fetch(_NOTED)]
        oldest: int = min([*days, *([] if other is None else [other])], default=0)
        return max(0, oldest, *noted)

    def chunks(self, sql: str) -> Iterator[Chunk]:
        """The rows of a query, `CHUNK_ROWS` at a time, by a cursor of the server's. Raises StorageFault."""
        cursor = self._session.run(_cursor(self._session.connection, sql))
        while rows := self._session.run(cursor.fetch(CHUNK_ROWS)):
            yield rows

    def count(self, table: str) -> int:
        """How many rows one of `TABLES` has. Raises StorageFault."""
        assert table in TABLES
        ((count,),) = self._session.fetch(f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608 - it is one of TABLES.
        return int(count)


class PostgresTarget(PostgresScan):
    """A database that is being filled. Without a commit, what was added goes with the connection."""

    def __init__(self, session: _Session, transaction: Transaction) -> None:
        super().__init__(session)
        self._transaction = transaction
        self._months: set[date] = set()
        self._filled: set[str] = set()

    def add(self, table: str, rows: Chunk) -> None:
        """Add rows to a table; receipts in partitions of their months. Raises StorageFault."""
        self._filled.add(table)
        if table == "receipts":
            self._make_months(rows)
        copying = self._session.connection.copy_records_to_table(table, records=rows, columns=_COLUMNS[table])
        self._session.run(copying)

    def note_receipts_since(self, day: int) -> None:
        """Note since which day receipts are complete. Raises StorageFault."""
        self._session.fetch(STATEMENTS["note_retention"], day)

    def commit(self) -> None:
        """Commit. Raises StorageFault."""
        # Without statistics the planner takes a table that was just filled for an empty one. A table that is
        # empty must have none: the planner would believe them after rows have come.
        if self._filled:
            analyze = f"ANALYZE {', '.join(sorted(self._filled))}"
            self._session.run(self._session.connection.execute(analyze))
        self._session.run(self._transaction.commit())

    def _make_months(self, rows: Chunk) -> None:
        last = (date.max - EPOCH).days
        days = {EPOCH + timedelta(days=row[_DAY]) for row in rows if 0 <= row[_DAY] <= last}
        for month in {day.replace(day=1) for day in days} - self._months:
            self._session.fetch(STATEMENTS["make_month"], month)
            self._months.add(month)


class PostgresDatabase:
    """The database at `location`, a `postgresql://` URL."""

    def __init__(self, location: str) -> None:
        self._location = location

    @property
    def label(self) -> str:
        """The location without user, password and options."""
        return shown(self._location)

    @contextmanager
    def snapshot(self) -> Iterator[PostgresScan]:
        """A scan of the database as it is now, while processes may serve it."""
        with self._session() as session:
            _begin(session, readonly=True)
            self._expect_latest(session)
            yield PostgresScan(session)

    @contextmanager
    def at_rest(self) -> Iterator[PostgresScan]:
        """A scan while no process serves the database. The batches of one that starts meanwhile wait."""
        with self._session() as session:
            self._expect_latest(session)
            self._expect_idle(session)
            _begin(session)
            # The snapshot is taken when nobody can write any more.
            session.fetch("LOCK TABLE accounts IN SHARE MODE")
            self._expect_idle(session)
            yield PostgresScan(session)

    @contextmanager
    def filling(self) -> Iterator[PostgresTarget]:
        """Fill the database in one transaction; its schema is made where it is missing."""
        with self._session() as session:
            session.run(_prepare(session.connection))
            transaction = _begin(session)
            session.fetch("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
            yield PostgresTarget(session, transaction)

    def version(self) -> int:
        """The number of the database's last migration; 0 when there is none."""
        with self._session() as session:
            return self._version(session)

    def latest_version(self) -> int:
        """The number of the last migration there is."""
        return len(bundled(ENGINE))

    def migrate(self) -> None:
        """Bring the schema up to date."""
        with self._session() as session:
            session.run(_prepare(session.connection))

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        session = _Session(self._location)
        try:
            yield session
        finally:
            session.close()

    def _version(self, session: _Session) -> int:
        ((migrated,),) = session.fetch(_MIGRATED)
        records = session.fetch(_RECORDS) if migrated else []
        try:
            check(map(tuple, records), bundled(ENGINE))
        except StorageFault as fault:
            raise StorageFault(f"{self.label}: {fault}") from fault
        return len(records)

    def _expect_idle(self, session: _Session) -> None:
        if serving := [row["name"] for row in session.fetch(_SERVING)]:
            raise StorageFault(
                f"{self.label}: Farebox is running on it, or was killed a moment ago ({', '.join(serving)}); "
                "stop it, or wait until its lease has ended"
            )

    def _expect_latest(self, session: _Session) -> None:
        version, latest = self._version(session), self.latest_version()
        if version != latest:
            raise StorageFault(
                f"{self.label}: its schema is at version {version} of {latest}; run `farebox migrate`"
            )


async def _prepare(connection: asyncpg.Connection) -> None:
    await bring_up_to_date(connection)
    await make_months(connection)


def _begin(session: _Session, *, readonly: bool = False) -> Transaction:
    """Begin a database transaction that sees one instant, that of its first query."""
    transaction: Transaction = session.connection.transaction(isolation="repeatable_read", readonly=readonly)
    session.run(transaction.start())
    return transaction


async def _cursor(connection: asyncpg.Connection, sql: str) -> Any:
    return await connection.cursor(sql)
