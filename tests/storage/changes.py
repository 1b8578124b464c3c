"""Changes of a database that are audited before anybody else could see them."""

import sqlite3
from typing import Any, Protocol

import asyncpg

from proxy.ledger.audit.accounts import audit
from proxy.storage.audit import ledger_of
from proxy.storage.faults import StorageFault
from proxy.storage.postgres.database import PostgresScan, _Session
from proxy.storage.sqlite.scan import SqliteScan
from tests.storage.engines import Postgres, Sqlite


class Changes(Protocol):
    """A database on one connection, where a change is audited without a commit, and undone."""

    def rows(self, query: str) -> list[Any]:
        """What there is."""
        ...

    def is_noticed(self, statement: str) -> bool:
        """Whether an audit finds what a statement changes, or the database refuses it."""
        ...


class SqliteChanges:
    """In a file."""

    def __init__(self, engine: Sqlite) -> None:
        self._connection = sqlite3.connect(engine.path, isolation_level=None)
        self._connection.execute("PRAGMA ignore_check_constraints = ON")
        self._connection.execute("BEGIN")
        for trigger in ("entries_never_change", "entries_never_go"):
            self._connection.execute(f"DROP TRIGGER {trigger}")
        self._scan = SqliteScan(self._connection, engine.path)

    def rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

    def is_noticed(self, statement: str) -> bool:
        self._connection.execute("SAVEPOINT change")
        try:
            assert self._connection.execute(statement).rowcount == 1, statement
            return any(audit(ledger_of(self._scan, lambda _: None)))
        except sqlite3.IntegrityError:
            return True
        finally:
            self._connection.execute("ROLLBACK TO change")

    def close(self) -> None:
        self._connection.close()


class PostgresChanges:
    """On a server."""

    def __init__(self, engine: Postgres) -> None:
        self._session = _Session(engine.location)
        self._run("SET session_replication_role = replica")
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self._scan = PostgresScan(self._session)

    def _run(self, statement: str) -> str:
        done: str = self._session.run(self._session.connection.execute(statement))
        return done

    def rows(self, query: str) -> list[Any]:
        return [tuple(row) for row in self._session.fetch(query)]

    def is_noticed(self, statement: str) -> bool:
        self._run("SAVEPOINT change")
        try:
            assert self._run(statement) == "UPDATE 1", statement
            return any(audit(ledger_of(self._scan, lambda _: None)))
        except StorageFault as fault:
            if isinstance(fault.__cause__, asyncpg.IntegrityConstraintViolationError):
                return True
            raise
        finally:
            self._run("ROLLBACK TO change")

    def close(self) -> None:
        self._session.close()
