"""farebox audit, backup, migrate, copy: the commands for a whole ledger."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from proxy.cli.options import Command
from proxy.cli.output import Column, field, plain, print_members, print_table
from proxy.cli.progress import step
from proxy.config.faults import ConfigError
from proxy.config.load import load
from proxy.ledger.audit.accounts import audit as audit_ledger
from proxy.ledger.audit.feed import OutOfOrder
from proxy.ledger.audit.rows import Difference
from proxy.storage.audit import count_rows, ledger_of
from proxy.storage.copy import copy as copy_ledger
from proxy.storage.copy import expect_closed, expect_empty
from proxy.storage.database import TABLES, Database, Scan
from proxy.storage.faults import StorageFault
from proxy.storage.locations import database_at
from proxy.storage.sqlite.backup import backup as back_up
from proxy.storage.sqlite.database import SqliteDatabase

SHOWN: Final = 50
"""How many differences a table has; JSON has all of them."""
DIFFERENT: Final = 1
UNREADABLE: Final = 2

_DIFFERENCE_COLUMNS = (
    *plain("table", "id", "column"),
    Column("expected", field("expected"), right=True),
    Column("found", field("found"), right=True),
)
_FILE = click.argument("file", required=False, type=click.Path(path_type=Path))
_STORAGE = click.option("--storage", metavar="URL", help="the database itself, instead of FILE's")
_JSON = click.option("--json", "as_json", is_flag=True, help="print the result as JSON")


class CannotBeDone(click.ClickException):
    """A database cannot be used as asked. The message goes to standard error."""

    exit_code = UNREADABLE


def reporting(command: Command) -> Command:
    """Print a fault of a configuration or a database without a traceback, with exit code 2."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (ConfigError, StorageFault, OutOfOrder) as fault:
            raise CannotBeDone(str(fault)) from fault

    return run


@click.command()
@_FILE
@_STORAGE
@_JSON
@reporting
def audit(file: Path | None, storage: str | None, *, as_json: bool) -> None:
    """Compute every charge and balance again, and report the differences; exit code 1 if there are any.

    FILE is a configuration. The server may be running.
    """
    database = _database(file, storage)
    with database.snapshot() as scan:
        rows = {table: scan.count(table) for table in ("accounts", "entries", "receipts")}
        found = _audited(scan, "Auditing", shown=not as_json)
        count = _print_json("audit", database, rows, found) if as_json else _print_differences(found)
    if not as_json:
        read = f"{rows['accounts']} accounts, {rows['entries']} entries, {rows['receipts']} receipts"
        click.echo(f"{database.label}: {read}: {_counted(count)}.")
    if count:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("paths", metavar="[FILE] DESTINATION", nargs=-1, type=click.Path(path_type=Path))
@_STORAGE
@click.option("--force", is_flag=True, help="replace a file at DESTINATION")
@_JSON
@reporting
def backup(paths: tuple[Path, ...], storage: str | None, *, force: bool, as_json: bool) -> None:
    """Copy FILE's SQLite database to DESTINATION while the server runs, and check the copy."""
    if len(paths) != (1 if storage else 2):
        raise click.UsageError("Name a configuration and a destination, or --storage and a destination.")
    database, destination = _database(paths[0] if not storage else None, storage), paths[-1].absolute()
    if not isinstance(database, SqliteDatabase):
        raise CannotBeDone(f"{database.label}: back up PostgreSQL with pg_dump.")
    with step("Copying pages", shown=not as_json) as bar:
        rows = back_up(database.path, destination, force=force, on_pages=bar.reach)
    size_bytes = destination.stat().st_size
    if as_json:
        click.echo(_json({"object": "backup", "path": str(destination), "bytes": size_bytes, "rows": rows}))
    else:
        size = f"{size_bytes} bytes, {sum(rows.values())} rows"
        click.echo(f"{database.label} is backed up to {destination}: {size}.")


@click.command()
@_FILE
@_STORAGE
@click.option("--check", "only_check", is_flag=True, help="change nothing; exit code 1 if it is out of date")
@_JSON
@reporting
def migrate(file: Path | None, storage: str | None, *, only_check: bool, as_json: bool) -> None:
    """Bring a database's schema up to date, as the server does when it starts."""
    database = _database(file, storage)
    before, latest = database.version(), database.latest_version()
    if not only_check:
        database.migrate()
    after = before if only_check else database.version()
    if as_json:
        click.echo(_json({"object": "migration", "from": before, "to": after, "latest": latest}))
    elif after < latest:
        click.echo(f"{database.label} is at version {before} of {latest}; `farebox migrate` changes that.")
    elif before == latest:
        click.echo(f"{database.label} is at version {latest}, the latest.")
    else:
        click.echo(f"{database.label} was at version {before} and is at version {after} now, the latest.")
    if after < latest:
        raise SystemExit(DIFFERENT)


@click.command()
@click.option("--from", "source_url", metavar="URL", required=True, help="sqlite:///file or postgresql://...")
@click.option(
    "--to",
    "target_url",
    metavar="URL",
    required=True,
    help="an empty or a new database",
)
@_JSON
@reporting
def copy(source_url: str, target_url: str, *, as_json: bool) -> None:
    """Copy a whole ledger into an empty database of any engine, and audit it there, while Farebox is stopped.

    A copy that is incomplete or differs is undone, and the exit code is 1.
    """
    source, target = database_at(source_url), database_at(target_url)
    _expect_two(source, target)
    with source.at_rest() as old:
        with _about(source):
            expect_closed(old)
        with target.filling() as new:
            with _about(target):
                expect_empty(new)
            with step("Copying", sum(map(old.count, TABLES)), shown=not as_json) as bar:
                rows = copy_ledger(old, new, bar.advance)
            found = _audited(new, "Auditing the copy", shown=not as_json)
            first = next(found, None)
            if first is not None:
                _report_copy(source, target, rows, chain((first,), found), as_json=as_json)
                raise SystemExit(DIFFERENT)
            new.commit()
    _report_copy(source, target, rows, iter(()), as_json=as_json)


def _report_copy(
    source: Database, target: Database, rows: dict[str, int], found: Iterator[Difference], *, as_json: bool
) -> None:
    """Print the result of a copy and of its audit."""
    count = _print_json("copy", target, rows, found) if as_json else _print_differences(found)
    if count:
        said = f"Nothing was copied: {_counted(count)}, as `farebox audit` finds in {source.label}"
        click.echo(f"{said}.", err=True)
    elif not as_json:
        print_members((table.replace("_", " "), str(number)) for table, number in rows.items())
        click.echo(f"{source.label} is copied to {target.label}, and the audit there finds no difference.")


def _database(file: Path | None, storage: str | None) -> Database:
    """The database of a command. Raises StorageFault and ConfigError."""
    if (file is None) == (storage is None):
        raise click.UsageError("Name a configuration, or a database with --storage.")
    if storage is not None:
        return database_at(storage)
    assert file is not None
    return database_at(load(file, os.environ).storage)


def _expect_two(source: Database, target: Database) -> None:
    """Refuse two names of one file, which would wait for each other."""
    paths = [one.path.resolve() for one in (source, target) if isinstance(one, SqliteDatabase)]
    if len(paths) != len(set(paths)):
        raise CannotBeDone(f"{source.label}: it cannot be copied into itself.")


def _audited(scan: Scan, title: str, *, shown: bool) -> Iterator[Difference]:
    with step(title, count_rows(scan), shown=shown) as bar:
        yield from audit_ledger(ledger_of(scan, bar.advance))


def _print_differences(found: Iterator[Difference]) -> int:
    """Print the first differences as a table. Returns how many there are."""
    first = list(islice(found, SHOWN))
    rest = sum(1 for _ in found)
    if first:
        print_table(map(msgspec.to_builtins, first), _DIFFERENCE_COLUMNS, title="Differences")
    if rest:
        click.echo(f"There are {rest} more: --json prints all.", err=True)
    return len(first) + rest


def _print_json(what: str, database: Database, rows: dict[str, int], found: Iterator[Difference]) -> int:
    """Print all differences as they are found, in one JSON object. Returns how many there are."""
    head = _json({"object": what, "database": database.label, "rows": rows})
    click.echo(f'{head[:-1]},"differences":[', nl=False)
    count = 0
    for count, difference in enumerate(found, 1):
        click.echo(f"{',' if count > 1 else ''}\n{_json(difference)}", nl=False)
    click.echo(f'],"count":{count}}}')
    return count


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _counted(count: int) -> str:
    return "no difference" if not count else f"{count} difference{'s' * (count > 1)}"


@contextmanager
def _about(database: Database) -> Iterator[None]:
    """Name the database in a fault."""
    try:
        yield
    except StorageFault as fault:
        raise StorageFault(f"{database.label}: {fault}") from fault
