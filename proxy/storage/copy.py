"""Copies a whole ledger into an empty database of any engine, and compares the counts."""

from collections.abc import Callable
from typing import Final

from proxy.storage.database import TABLES, TOTALS, CopyTarget, Scan
from proxy.storage.faults import StorageFault
from proxy.storage.placeholders import filled
from proxy.storage.queries import Query, load

_BY_HAND: Final[dict[str, Query]] = load("portable/copy.sql")
COPIES: Final[dict[str, str]] = {
    f"copy_{table}": filled(f"SELECT {{{table}.columns}} FROM {table} ORDER BY {{{table}.key}}")  # noqa: S608 - it is one of these.
    for table in TABLES
} | {name: query.sql for name, query in _BY_HAND.items()}
"""What reads all of a table. That of one whose primary key begins otherwise is written by hand."""


def expect_closed(source: Scan) -> None:
    """Raise StorageFault if a hold is open: only one of the databases would learn how its call ends."""
    ((open_holds,),) = next(source.chunks(COPIES["copy_open_holds"]))
    if open_holds:
        raise StorageFault(
            f"holds that are open: {open_holds}. They are of jobs, which `farebox jobs` lists, or of calls "
            "that no process lived to close: start Farebox until none is left, and stop it"
        )


def expect_empty(target: Scan) -> None:
    """Raise StorageFault if a table has any rows."""
    tables = (*TABLES, TOTALS) if target.keeps_totals else TABLES
    found = {table: count for table in tables if (count := target.count(table))}
    if found:
        there = ", ".join(f"{table} {count}" for table, count in found.items())
        raise StorageFault(f"it is not empty (rows: {there}); a ledger is copied into an empty database only")


def copy(source: Scan, target: CopyTarget, on_rows: Callable[[int], object]) -> dict[str, int]:
    """Add every row of `source` to `target`, without committing; the rows of each table, counted in both.

    `on_rows` is called with the number of rows of each chunk. Raises StorageFault when a table of the target
    has another number of rows than the source's.
    """
    counts = {}
    if since_day := source.receipts_since_day:
        target.note_receipts_since(since_day)
    for table in TABLES:
        for chunk in source.chunks(COPIES[f"copy_{table}"]):
            target.add(table, chunk)
            on_rows(len(chunk))
        counts[table], copied = source.count(table), target.count(table)
        if copied != counts[table]:
            raise StorageFault(f"of {counts[table]} rows of {table} {copied} have arrived")
    return counts
