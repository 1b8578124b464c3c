"""Loads the rows of a batch from SQLite, and caches them while no other connection writes."""

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any, Final

from proxy.ledger.books import Books, BucketKey
from proxy.ledger.kinds import NAMED_LOT, RowKey
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Lot
from proxy.storage import columns
from proxy.storage.queries import load
from proxy.storage.sqlite.rare import load_rare

LOADS: Final = {name: query.sql for name, query in load("sqlite/sql/load.sql").items()}


class RowCache:
    """The books of one connection, the only one in this process that writes.

    Rows stay from one batch to the next while no other connection has committed, which one pragma shows. When
    there are more than `most_rows`, all are dropped.
    """

    def __init__(self, connection: sqlite3.Connection, *, most_rows: int) -> None:
        self._connection = connection
        self._most_rows = most_rows
        self._version = -1
        self.forget()

    def forget(self) -> None:
        """Drop every row. After a failed batch this is a must: the books are ahead of the file."""
        self.books = Books()
        self.stored_lots: set[str] = set()
        self._known_buckets: set[BucketKey] = set()
        self._known_throttles: set[RowKey] = set()

    def load(self, needs: Needs) -> Books:
        """Books with every row that a batch needs, read within its database transaction."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self.forget()
            self._version = version
        books = self.books
        for row in self._rows("load_accounts", [i for i in needs.accounts if i not in books.accounts]):
            account = columns.account_of(row)
            books.accounts[account.id] = account
        for row in self._rows("load_keys", [pair for pair in needs.keys if pair[1] not in books.keys]):
            key = columns.key_of(row)
            books.keys[key.id] = key
        self._load_lots([i for i in needs.accounts if i not in books.lots])
        self._load_spending(needs)
        self._load_holds(needs)
        if needs.rare:
            load_rare(self._connection, books, needs.rare)
            # A lot that is asked for by name may be there with nothing left of it.
            named = needs.rare.get(NAMED_LOT.name, ())
            self.stored_lots.update(lot_id for id_, lot_id in named if lot_id in books.lots.get(id_, {}))
        return books

    def committed(self) -> None:
        """The file now has what the books say: drop the rows that no later batch can need."""
        books = self.books
        for id_ in books.changed_holds:
            if books.holds[id_].state != "open":
                del books.holds[id_]
        for account_id, lot_id in books.changed_lots:
            self.stored_lots.add(lot_id)
            if not books.lots[account_id][lot_id].remaining_nano:
                del books.lots[account_id][lot_id]
                self.stored_lots.discard(lot_id)
        if books.rare:
            books.forget_rare()
        books.changed_accounts.clear()
        books.changed_keys.clear()
        books.changed_holds.clear()
        books.changed_buckets.clear()
        books.changed_throttles.clear()
        books.changed_lots.clear()
        books.new_entries, books.new_receipts = [], []
        if self._size() > self._most_rows:
            self.forget()

    def _size(self) -> int:
        books = self.books
        tables: tuple[Collection[object], ...] = (
            books.keys,
            books.holds,
            books.lots,
            self.stored_lots,
            books.buckets,
            self._known_buckets,
            self._known_throttles,
        )
        return sum(map(len, tables))

    def _load_lots(self, account_ids: Collection[str]) -> None:
        lots = self.books.lots
        lots.update((account_id, {}) for account_id in account_ids)
        for row in self._rows("load_lots", account_ids):
            lot = Lot(*row)
            lots[lot.account_id][lot.id] = lot
            self.stored_lots.add(lot.id)

    def _load_spending(self, needs: Needs) -> None:
        books = self.books
        buckets = [key for key in books.ended(needs) if key not in self._known_buckets]
        wanted = [(columns.account_id_of(books, scope_id), scope_id, *key) for scope_id, *key in buckets]
        for row in self._rows("load_buckets", wanted):
            bucket = columns.bucket_of(row)
            books.buckets[bucket.scope_id, bucket.window, bucket.start_day] = bucket
        self._known_buckets.update(buckets)
        scopes = [pair for pair in needs.scopes if pair not in self._known_throttles]
        for row in self._rows("load_throttles", scopes):
            throttle = columns.throttle_of(row)
            books.throttles[throttle.scope_id, throttle.kind] = throttle
        self._known_throttles.update(scopes)

    def _load_holds(self, needs: Needs) -> None:
        books = self.books
        found = [books.accounts[account_id] for account_id in needs.accounts if account_id in books.accounts]
        due = [account.id for account in found if account.next_expiry_us <= needs.latest_us]
        missing = [hold_id for _, hold_id in needs.holds if hold_id not in books.holds]
        for row in (*self._rows("load_open_holds", due), *self._rows("load_holds", missing)):
            hold = columns.hold_of(row)
            books.holds[hold.id] = hold

    def _rows(self, name: str, ids: Collection[object]) -> Iterable[tuple[Any, ...]]:
        if not ids:
            return ()
        return self._connection.execute(LOADS[name], (columns.text(ids),)).fetchall()
