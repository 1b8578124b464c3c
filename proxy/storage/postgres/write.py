"""Writes the changes of a batch to PostgreSQL in one statement, however large the batch."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.books import Books
from proxy.storage import columns
from proxy.storage.postgres.functions import Functions
from proxy.storage.postgres.rare import change_of_rare
from proxy.storage.tables import ACCOUNTS, BY_NAME, HOLDS, KEYS, LOTS, Table

Change = dict[str, Any]
"""Whole rows, new ones or changed ones of a table, by the name under which they are sent.

Under `rare` is what changed of the tables that few batches touch, see `rare`.
"""

_UPDATED: Final = (ACCOUNTS, KEYS, LOTS, HOLDS)
"""The tables that send new rows and changed rows under different names."""
_NAMES: Final = {
    **{name: [column.name for column in table.columns] for name, table in BY_NAME.items()},
    **{f"new_{table.name}": [column.name for column in table.columns] for table in _UPDATED},
    **{table.name: [column.name for column in table.changed] for table in _UPDATED},
}


def _picks(table: Table) -> Callable[[Iterable[tuple[Any, ...]]], list[tuple[Any, ...]]]:
    """A function that takes from whole rows the key and the columns that can change."""
    pick = itemgetter(*(table.place(column.name) for column in table.changed))
    return lambda rows: list(map(pick, rows))


_PICKED: Final = {table.name: _picks(table) for table in _UPDATED}

_encode: Final = msgspec.json.Encoder().encode


class Stored(msgspec.Struct, frozen=True):
    """The ids of the rows of a batch that the database has already."""

    accounts: frozenset[str]
    keys: frozenset[str]
    lots: frozenset[str]
    holds: frozenset[str]

    @classmethod
    def of(cls, books: Books) -> "Stored":
        """The ids in books that were just loaded."""
        lots = frozenset(lot_id for lots in books.lots.values() for lot_id in lots)
        return cls(frozenset(books.accounts), frozenset(books.keys), lots, frozenset(books.holds))


def change_of(books: Books, stored: Stored) -> Change:
    """The changes in the books, as `ledger_write` takes them; empty when there are none."""
    accounts = [books.accounts[id_] for id_ in sorted(books.changed_accounts)]
    keys = [books.keys[id_] for id_ in books.changed_keys]
    lots = [books.lots[account_id][lot_id] for account_id, lot_id in books.changed_lots]
    holds = [books.holds[id_] for id_ in books.changed_holds]
    receipts = [(row, books.holds[row.call.id]) for row in books.new_receipts]
    changes: Change = {
        "new_accounts": [columns.account_row(row) for row in accounts if row.id not in stored.accounts],
        "accounts": [columns.account_row(row) for row in accounts if row.id in stored.accounts],
        "new_keys": [columns.key_row(row) for row in keys if row.id not in stored.keys],
        "key_digests": [columns.key_digest_row(books, row) for row in keys if row.id not in stored.keys],
        "keys": [columns.key_row(row) for row in keys if row.id in stored.keys],
        "new_lots": [astuple(row) for row in lots if row.id not in stored.lots],
        "lots": [astuple(row) for row in lots if row.id in stored.lots],
        "buckets": [columns.bucket_row(books, key) for key in books.changed_buckets],
        "throttles": [columns.throttle_row(books, key) for key in books.changed_throttles],
        "new_holds": [columns.hold_row(row) for row in holds if row.id not in stored.holds],
        "holds": [columns.hold_row(row) for row in holds if row.id in stored.holds],
        "entries": list(map(columns.entry_row, books.new_entries)),
        "receipts": [columns.receipt_row(row, hold) for row, hold in receipts],
        "usage_days": list(columns.usage_day_rows(receipts)),
    }
    if books.rare:
        changes["rare"] = change_of_rare(books)
    return {name: rows for name, rows in changes.items() if rows}


def write_of(functions: Functions, change: Change, *, owner: str, batch: int) -> str:
    """The statement that writes a change as a process's next batch.

    Rows are JSON arrays; the names of their columns are sent once for each kind of row.
    """
    sent: dict[str, Any] = {
        name: {"columns": _NAMES[name], "rows": _PICKED[name](rows) if name in _PICKED else rows}
        for name, rows in change.items()
        if name != "rare"
    }
    if "rare" in change:
        sent["rare"] = change["rare"]
    # In JSON an apostrophe occurs within strings only, and may be written as its number there. So there is
    # none in the whole text, and with standard_conforming_strings nothing else can end a literal or begin an
    # escape in it; whatever anybody has named anything stays data.
    text = _encode({"owner": owner, "batch": batch, **sent}).decode().replace("'", "\\u0027")
    return f"{functions.write}'{text}')"
