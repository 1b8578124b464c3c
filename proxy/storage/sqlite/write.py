"""Writes the changes of a batch to SQLite: few statements for each table, however large the batch."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, starmap
from operator import add
from typing import Any, Final

from msgspec.structs import astuple

from proxy.ledger.books import Books
from proxy.storage import columns
from proxy.storage.queries import Rows, SqlValue, load
from proxy.storage.sqlite.rare import write_rare

WRITES: Final = {name: query.sql for name, query in load("sqlite/sql/write.sql").items()}

_PUT_ACCOUNTS: Final = Rows(WRITES["put_accounts"])
_PUT_KEYS: Final = Rows(WRITES["put_keys"])
_ADD_KEY_DIGESTS: Final = Rows(WRITES["add_key_digests"])
_ADD_LOTS: Final = Rows(WRITES["add_lots"])
_PUT_LOTS: Final = Rows(WRITES["put_lots"])
_PUT_BUCKETS: Final = Rows(WRITES["put_buckets"])
_PUT_THROTTLES: Final = Rows(WRITES["put_throttles"])
_ADD_HOLDS: Final = Rows(WRITES["add_holds"])
_NOTES_OF_A_HOLD: Final = 3
"""The last columns of a hold are NULL as long as nothing of its call is noted."""
_ADD_FRESH_HOLDS: Final = Rows(WRITES["add_holds"], nulls=_NOTES_OF_A_HOLD)
_ADD_ENTRIES: Final = Rows(WRITES["add_entries"])
_ADD_RECEIPTS: Final = Rows(WRITES["add_receipts"])
_ADD_USAGE_DAYS: Final = Rows(WRITES["add_usage_days"])
_ADD_USAGE_TOTALS: Final = Rows(WRITES["add_usage_totals"])

TotalKey = tuple[str, int, str]


def write(
    connection: sqlite3.Connection,
    books: Books,
    *,
    stored_keys: Collection[str],
    stored_holds: Mapping[str, int],
    stored_lots: Collection[str],
) -> None:
    """Write the changes in the books.

    `stored_keys`, `stored_holds` and `stored_lots` tell which of the changed ones the file has already, and
    the amounts that it has for those holds.
    """
    accounts = [books.accounts[id_] for id_ in books.changed_accounts]
    _PUT_ACCOUNTS.run(connection, _flat(map(columns.account_row, accounts)))
    keys = [books.keys[id_] for id_ in books.changed_keys]
    _PUT_KEYS.run(connection, _flat(map(columns.key_row, keys)))
    _ADD_KEY_DIGESTS.run(
        connection, _flat([columns.key_digest_row(books, key) for key in keys if key.id not in stored_keys])
    )
    _write_lots(connection, books, stored_lots)
    _PUT_BUCKETS.run(connection, _flat(columns.bucket_row(books, key) for key in books.changed_buckets))
    _PUT_THROTTLES.run(connection, _flat(columns.throttle_row(books, key) for key in books.changed_throttles))
    _write_holds(connection, books, stored_holds)
    _ADD_ENTRIES.run(connection, _flat(map(columns.entry_row, books.new_entries)))
    receipts = [(row, books.holds[row.call.id]) for row in books.new_receipts]
    _ADD_RECEIPTS.run(connection, _flat(starmap(columns.receipt_row, receipts)))
    if books.rare:
        write_rare(connection, books)
    add_usage_days(connection, list(columns.usage_day_rows(receipts)))


def add_usage_days(connection: sqlite3.Connection, days: Sequence[tuple[Any, ...]]) -> None:
    """Add usage days to those that the file has, and to its sums over all accounts."""
    _ADD_USAGE_DAYS.run(connection, _flat(days))
    _ADD_USAGE_TOTALS.run(connection, _flat(_total_rows(days)))


def _total_rows(days: Iterable[tuple[Any, ...]]) -> Iterator[tuple[SqlValue, ...]]:
    """What usage days add to the sums over all accounts."""
    sums: dict[TotalKey, list[int]] = {}
    for account_id, day, key_id, model, *figures in days:
        for key in (("account", day, account_id), ("key", day, key_id), ("model", day, model)):
            before = sums.get(key)
            sums[key] = figures if before is None else list(map(add, before, figures))
    return ((*key, *figures) for key, figures in sums.items())


def _write_lots(connection: sqlite3.Connection, books: Books, stored: Collection[str]) -> None:
    changed = [books.lots[account_id][lot_id] for account_id, lot_id in books.changed_lots]
    _ADD_LOTS.run(connection, _flat([astuple(lot) for lot in changed if lot.id not in stored]))
    _PUT_LOTS.run(connection, _flat([astuple(lot) for lot in changed if lot.id in stored]))


def _write_holds(connection: sqlite3.Connection, books: Books, stored: Mapping[str, int]) -> None:
    # In the order of their ids new holds lie side by side, in pages that are filled one after the other.
    changed = [books.holds[id_] for id_ in sorted(books.changed_holds)]
    fresh: list[SqlValue] = []
    noted: list[SqlValue] = []
    closed: dict[str, list[str]] = {}
    altered: list[tuple[SqlValue, ...]] = []
    for hold in changed:
        if hold.id not in stored:
            row = columns.hold_row(hold)
            if hold.observed is None and hold.deadline_us is None:
                fresh += row[:-_NOTES_OF_A_HOLD]
            else:
                noted += row
        # Nearly every hold is closed as it was made: its state is all that a shorter statement has to send.
        elif hold.state == "open" or hold.amount_nano != stored[hold.id]:
            altered.append(columns.hold_row(hold))
        else:
            closed.setdefault(hold.state, []).append(hold.id)
    _ADD_FRESH_HOLDS.run(connection, fresh)
    _ADD_HOLDS.run(connection, noted)
    if altered:
        connection.execute(WRITES["change_holds"], (columns.text(altered),))
    for state, ids in closed.items():
        connection.execute(WRITES["close_holds"], (state, columns.text(ids)))


def _flat(rows: Iterable[Iterable[SqlValue]]) -> list[SqlValue]:
    return list(chain.from_iterable(rows))
