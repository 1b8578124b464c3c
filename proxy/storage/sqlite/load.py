"""Loads the rows of a batch from SQLite, and caches them while no other connection writes."""

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any, Final

from proxy.ledger.books import Books, BucketKey, CommandRecord
from proxy.ledger.needs import Needs, RowKey
from proxy.ledger.rows import Lot
from proxy.storage import columns
from proxy.storage.queries import load

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
        for row in self._rows("load_commands", needs.commands):
            record = CommandRecord(*row)
            books.commands[record.account_id, record.command_id] = record
        replayed = [(record.account_id, record.seq) for record in books.commands.values()]
        for row in self._rows("load_entries", [*replayed, *needs.entries]):
            entry = columns.entry_of(row)
            books.entries[entry.account_id, entry.seq] = entry
        for row in self._rows("load_objects", needs.objects):
            made = columns.object_of(row)
            books.objects[made.account_id, made.id] = made
        self._load_rare(needs)
        self._load_top_ups(needs)
        self._load_events(needs)
        self._load_lots([i for i in needs.accounts if i not in books.lots], needs.lots)
        self._load_spending(needs)
        self._load_holds(needs)
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
        books.commands.clear()
        books.entries.clear()
        books.objects.clear()
        books.refunds.clear()
        books.memberships.clear()
        books.vouchers.clear()
        books.claims.clear()
        books.changed_memberships.clear()
        books.counters.clear()
        books.changed_counters.clear()
        books.top_ups.clear()
        books.references.clear()
        books.auto_top_ups.clear()
        books.changed_auto_top_ups.clear()
        books.changed_top_ups.clear()
        books.new_references.clear()
        books.invoices.clear()
        books.new_invoices.clear()
        books.changed_vouchers.clear()
        books.new_claims.clear()
        books.changed_accounts.clear()
        books.changed_keys.clear()
        books.changed_holds.clear()
        books.changed_buckets.clear()
        books.changed_throttles.clear()
        books.changed_lots.clear()
        books.changed_objects.clear()
        books.gone_objects.clear()
        for of_events in (books.events, books.deliveries, books.new_events):
            of_events.clear()
        for keys in (books.routed_events, books.changed_deliveries, books.gone_events):
            keys.clear()
        books.new_commands, books.new_entries, books.new_receipts = [], [], []
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

    def _load_top_ups(self, needs: Needs) -> None:
        books = self.books
        rows = (*self._rows("load_top_ups", needs.top_ups), *self._rows("load_pending", needs.pending))
        for top_up in map(columns.top_up_of, rows):
            books.top_ups[top_up.account_id, top_up.id] = top_up
        for reference in map(columns.reference_of, self._rows("load_references", needs.references)):
            books.references[reference.provider, reference.reference] = reference
        for auto in map(columns.auto_top_up_of, self._rows("load_auto_top_ups", needs.auto_top_ups)):
            books.auto_top_ups[auto.account_id] = auto

    def _load_rare(self, needs: Needs) -> None:
        """What few batches need."""
        books = self.books
        for account_id, call_id, refunded_nano in self._rows("load_refunds", needs.refunds):
            books.refunds[account_id, call_id] = refunded_nano
        for row in self._rows("load_memberships", needs.memberships):
            membership = columns.membership_of(row)
            books.memberships[membership.account_id] = membership
        for row in self._rows("load_vouchers", needs.vouchers):
            voucher = columns.voucher_of(row)
            books.vouchers[voucher.digest] = voucher
        for row in self._rows("load_claims", needs.claims):
            claim = columns.claim_of(row)
            books.claims[claim.digest, claim.account_id] = claim
        for row in self._rows("load_counters", needs.counters):
            counter = columns.counter_of(row)
            books.counters[counter.account_id, counter.name, counter.window, counter.start_day] = counter
        for row in self._rows("load_invoices", needs.invoices):
            invoice = columns.invoice_of(row)
            books.invoices[invoice.account_id, invoice.period] = invoice

    def _load_lots(self, account_ids: Collection[str], named: Collection[RowKey]) -> None:
        lots = self.books.lots
        lots.update((account_id, {}) for account_id in account_ids)
        rows = [*self._rows("load_lots", account_ids)]
        if named:
            rows += self._rows(
                "load_named_lots", [key for key in named if key[1] not in lots.get(key[0], {})]
            )
        for row in rows:
            lot = Lot(*row)
            lots[lot.account_id][lot.id] = lot
            self.stored_lots.add(lot.id)

    def _load_events(self, needs: Needs) -> None:
        books = self.books
        for row in self._rows("load_events", needs.events):
            event = columns.event_of(row)
            books.events[event.account_id, event.id] = event
        for row in self._rows("load_deliveries", needs.deliveries):
            delivery = columns.delivery_of(row)
            books.deliveries[delivery.account_id, delivery.event_id, delivery.endpoint] = delivery

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
