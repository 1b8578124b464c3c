"""What a batch loads from PostgreSQL: the parameters of one call, and books made of its answer."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from proxy.ledger.books import Books, CommandRecord
from proxy.ledger.needs import Needs
from proxy.ledger.rows import Lot
from proxy.storage import columns

_Row = tuple[Any, ...]


class Rare(msgspec.Struct):
    """What few batches need."""

    lots: list[_Row] | None = None
    entries: list[_Row] | None = None
    refunds: list[tuple[str, str, int | None]] | None = None
    memberships: list[_Row] | None = None
    vouchers: list[_Row] | None = None
    claims: list[_Row] | None = None
    events: list[_Row] | None = None
    deliveries: list[_Row] | None = None
    counters: list[_Row] | None = None
    top_ups: list[_Row] | None = None
    references: list[_Row] | None = None
    auto_top_ups: list[_Row] | None = None
    invoices: list[_Row] | None = None

    def add_to(self, books: Books) -> None:
        """Add the rows to books."""
        for row in self.lots or ():
            lot = Lot(*row)
            books.lots.setdefault(lot.account_id, {})[lot.id] = lot
        books.entries.update(((row[0], row[1]), columns.entry_of(row)) for row in self.entries or ())
        books.memberships = {row[0]: columns.membership_of(row) for row in self.memberships or ()}
        books.vouchers = {row[0]: columns.voucher_of(row) for row in self.vouchers or ()}
        books.claims = {(row[0], row[1]): columns.claim_of(row) for row in self.claims or ()}
        books.events = {(row[0], row[1]): columns.event_of(row) for row in self.events or ()}
        books.deliveries = {row[:3]: columns.delivery_of(row) for row in self.deliveries or ()}
        books.counters = {row[:4]: columns.counter_of(row) for row in self.counters or ()}
        for top_up in map(columns.top_up_of, self.top_ups or ()):
            books.top_ups[top_up.account_id, top_up.id] = top_up
        books.auto_top_ups = {row[0]: columns.auto_top_up_of(row) for row in self.auto_top_ups or ()}
        for reference in map(columns.reference_of, self.references or ()):
            books.references[reference.provider, reference.reference] = reference
        books.invoices = {(row[0], row[1]): columns.invoice_of(row) for row in self.invoices or ()}
        books.refunds = {(row[0], row[1]): row[2] or 0 for row in self.refunds or ()}


class Loaded(msgspec.Struct, array_like=True):
    """The answer: how many batches this process has committed, and rows as the tables have them.

    When the process was found `gone` there are no rows; `batches` is None when its name is forgotten too.
    """

    batches: int | None
    gone: bool
    accounts: list[_Row] | None = None
    keys: list[_Row] | None = None
    lots: list[_Row] | None = None
    buckets: list[_Row] | None = None
    throttles: list[_Row] | None = None
    commands: list[_Row] | None = None
    holds: list[_Row] | None = None
    open_holds: list[_Row] | None = None
    entries: list[_Row] | None = None
    objects: list[_Row] | None = None
    rare: Rare | None = None

    def books(self) -> Books:
        """Books with the rows."""
        books = Books()
        books.accounts = {row[0]: columns.account_of(row) for row in self.accounts or ()}
        books.keys = {row[0]: columns.key_of(row) for row in self.keys or ()}
        books.lots = {id_: {} for id_ in books.accounts}
        for row in self.lots or ():
            lot = Lot(*row)
            books.lots[lot.account_id][lot.id] = lot
        books.buckets = {row[1:4]: columns.bucket_of(row) for row in self.buckets or ()}
        books.throttles = {row[1:3]: columns.throttle_of(row) for row in self.throttles or ()}
        books.commands = {(row[0], row[1]): CommandRecord(*row) for row in self.commands or ()}
        books.entries = {(row[0], row[1]): columns.entry_of(row) for row in self.entries or ()}
        books.objects = {(row[0], row[1]): columns.object_of(row) for row in self.objects or ()}
        if self.rare is not None:
            self.rare.add_to(books)
        for rows in (self.open_holds, self.holds):
            books.holds.update((row[0], columns.hold_of(row)) for row in rows or ())
        return books


loaded_of: Final = msgspec.json.Decoder(Loaded).decode
"""What `ledger_load` answers, from its text."""


def question(owner: str, needs: Needs) -> tuple[object, ...]:
    """The parameters of `ledger_load`, in the order of the arguments in `functions`."""
    return (
        owner,
        list(needs.accounts),
        *_turned(needs.keys, 2),
        [hold_id for _, hold_id in needs.holds],
        *_turned(needs.days, 3),
        *_turned(needs.commands, 2),
        needs.latest_us,
        *_turned(needs.objects, 2),
        _rare(needs),
    )


def _rare(needs: Needs) -> str | None:
    """What few batches need, as JSON; None for all others."""
    rare = (needs.entries, needs.vouchers, needs.memberships, needs.counters, needs.top_ups, needs.invoices)
    others = (needs.auto_top_ups, needs.events, needs.deliveries)
    if not any((*rare, *others)):
        return None
    named: dict[str, Collection[object]] = {
        "lots": needs.lots,
        "entries": needs.entries,
        "refunds": needs.refunds,
        "memberships": needs.memberships,
        "vouchers": needs.vouchers,
        "claims": needs.claims,
        "counters": needs.counters,
        "top_ups": needs.top_ups,
        "pending": needs.pending,
        "references": needs.references,
        "auto_top_ups": needs.auto_top_ups,
        "invoices": needs.invoices,
        "events": needs.events,
        "deliveries": needs.deliveries,
    }
    return columns.text(named)


def _turned(rows: Collection[tuple[object, ...]], width: int) -> list[list[object]]:
    """A list for each column of some rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
