"""Numbered migrations. Each is applied once, in its own database transaction, and its digest is stored."""

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from proxy.storage.faults import StorageFault
from proxy.storage.queries import FOLDER

_FILE_NAME: Final = re.compile(r"(?P<number>\d{3})_\w+\.sql")
_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
) STRICT
"""


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema. Numbers count from 1 without gaps; `sha256` is of the SQL."""

    number: int
    name: str
    sql: str
    sha256: str


def bundled(engine: str, folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations of this version for an engine, from its `sql` folder.

    Raises StorageFault when a number is missing or taken twice.
    """
    found = ((path, _FILE_NAME.fullmatch(path.name)) for path in sorted((folder / engine / "sql").iterdir()))
    files = [(path, match) for path, match in found if match]
    migrations = []
    for number, (path, match) in enumerate(files, 1):
        if int(match["number"]) != number:
            raise StorageFault(f"{path.name} comes where migration {number:03} should")
        sql = path.read_text("utf-8")
        migrations.append(Migration(number, path.stem, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return tuple(migrations)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[int]:
    """Apply the migrations that a database lacks; their numbers, none when it was up to date.

    Several processes may run it at once: each step finds out under the write lock what is left to do. Raises
    StorageFault, with nothing of the failing step applied, when a step fails, when an applied one has changed
    since, or when the database is newer than these migrations or belongs to another program.
    """
    applied: list[int] = []
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            step = _next(connection, migrations)
            if step is not None:
                _apply(connection, step)
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")
        if step is None:
            return applied
        applied.append(step.number)


def statements(sql: str) -> Iterator[str]:
    """The statements of a script. A semicolon at the end of a line ends one, unless it is in a trigger."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if any(line.strip() and not line.startswith("--") for line in pending.splitlines()):
        yield pending


def _next(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> Migration | None:
    """The first migration that is not applied, after a check that the applied ones are these."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if tables and "migrations" not in tables:
        raise StorageFault(f"it belongs to another program: it has the tables {', '.join(sorted(tables))}")
    connection.execute(_RECORDS)
    records = connection.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
    check(records, migrations)
    return migrations[len(records)] if len(records) < len(migrations) else None


def check(records: Iterable[tuple[int, str, str]], migrations: Sequence[Migration]) -> None:
    """Raise StorageFault unless the applied migrations are these, by number, name and digest."""
    for position, (number, name, sha256) in enumerate(records):
        if position >= len(migrations):
            raise StorageFault(
                f"it was made by a newer Farebox: it has the migration {name}, "
                f"and this version knows no more than {len(migrations)}; run the newer version"
            )
        known = migrations[position]
        if (number, sha256) != (known.number, known.sha256):
            raise StorageFault(
                f"its migration {name} is not the {known.name} of this version: a migration must never be "
                "edited; run the version it was made with, or restore that file"
            )


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    try:
        for statement in statements(step.sql):
            connection.execute(statement)
    except sqlite3.Error as error:
        raise StorageFault(f"the migration {step.name} failed: {error}") from error
    connection.execute(
        "INSERT INTO migrations (number, name, sha256) VALUES (?, ?, ?)",
        (step.number, step.name, step.sha256),
    )
