"""How PostgreSQL is told what a batch has changed: one statement, however large the batch."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.books import Books
from proxy.ledger.windows import DAY_US
from proxy.storage import columns
from proxy.storage.postgres.functions import Functions
from proxy.storage.queries import SqlValue
from proxy.storage.tables import ACCOUNTS, BY_NAME, HOLDS, KEYS, LOTS, Table

Change = dict[str, list[tuple[SqlValue, ...]]]
"""Whole rows, by what is to be done with them: new ones of a table, or changed ones."""

_UPDATED: Final = (ACCOUNTS, KEYS, LOTS, HOLDS)
"""The tables whose changed rows are not those that are added: they go by their own names."""
_NAMES: Final = {
    **{name: [column.name for column in table.columns] for name, table in BY_NAME.items()},
    **{f"new_{table.name}": [column.name for column in table.columns] for table in _UPDATED},
    **{table.name: [column.name for column in table.changed] for table in _UPDATED},
}


def _picks(table: Table) -> Callable[[Iterable[tuple[Any, ...]]], list[tuple[Any, ...]]]:
    """What takes from whole rows the columns that tell a change."""
    pick = itemgetter(*(table.place(column.name) for column in table.changed))
    return lambda rows: list(map(pick, rows))


_PICKED: Final = {table.name: _picks(table) for table in _UPDATED}

_encode: Final = msgspec.json.Encoder().encode


class Stored(msgspec.Struct, frozen=True):
    """The ids of what the database has already, among the rows of a batch."""

    accounts: frozenset[str]
    keys: frozenset[str]
    lots: frozenset[str]
    holds: frozenset[str]

    @classmethod
    def of(cls, books: Books) -> "Stored":
        """What books have that were just loaded."""
        lots = frozenset(lot_id for lots in books.lots.values() for lot_id in lots)
        return cls(frozenset(books.accounts), frozenset(books.keys), lots, frozenset(books.holds))


def change_of(books: Books, stored: Stored) -> Change:
    """What the books say has changed, as `ledger_write` takes it; empty when nothing has."""
    accounts = [books.accounts[id_] for id_ in sorted(books.changed_accounts)]
    keys = [books.keys[id_] for id_ in books.changed_keys]
    lots = [books.lots[account_id][lot_id] for account_id, lot_id in books.changed_lots]
    holds = [books.holds[id_] for id_ in books.changed_holds]
    receipts = [(row, books.holds[row.call.id].created_at_us // DAY_US) for row in books.new_receipts]
    changes: Change = {
        "new_accounts": [columns.account_row(row) for row in accounts if row.id not in stored.accounts],
        "accounts": [columns.account_row(row) for row in accounts if row.id in stored.accounts],
        "new_keys": [columns.key_row(row) for row in keys if row.id not in stored.keys],
        "keys": [columns.key_row(row) for row in keys if row.id in stored.keys],
        "new_lots": [astuple(row) for row in lots if row.id not in stored.lots],
        "lots": [astuple(row) for row in lots if row.id in stored.lots],
        "buckets": [astuple(books.buckets[key]) for key in books.changed_buckets],
        "throttles": [astuple(books.throttles[key]) for key in books.changed_throttles],
        "new_holds": [columns.hold_row(row) for row in holds if row.id not in stored.holds],
        "holds": [columns.hold_row(row) for row in holds if row.id in stored.holds],
        "entries": list(map(columns.entry_row, books.new_entries)),
        "commands": list(map(astuple, books.new_commands)),
        "receipts": [columns.receipt_row(row, day) for row, day in receipts],
        "usage_days": list(columns.usage_day_rows(receipts)),
    }
    return {name: rows for name, rows in changes.items() if rows}


def write_of(functions: Functions, change: Change, *, owner: str, batch: int) -> str:
    """The statement that writes a change as a process's next batch.

    Rows are JSON arrays, and the names of their columns come with them, once for all that are alike.
    """
    sent = {
        name: {"columns": _NAMES[name], "rows": _PICKED[name](rows) if name in _PICKED else rows}
        for name, rows in change.items()
    }
    # In JSON an apostrophe occurs within strings only, and may be written as its number there. So there is
    # none in the whole text, and with standard_conforming_strings nothing else can end a literal or begin an
    # escape in it; whatever anybody has named anything stays data.
    text = _encode({"owner": owner, "batch": batch, **sent}).decode().replace("'", "\\u0027")
    return f"{functions.write}'{text}')"
