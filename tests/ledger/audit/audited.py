"""Books in memory as an audit reads them: the rows of each table, in order."""

from collections.abc import Iterable
from itertools import starmap
from typing import Any

from msgspec.structs import replace

from proxy.ledger.audit.accounts import audit
from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.end_user_rows import EndUserRow
from proxy.ledger.audit.rows import (
    AccountRow,
    BucketRow,
    CommandRow,
    DayRow,
    DeliveryRow,
    Difference,
    EntryRow,
    EventRow,
    HoldRow,
    KeyRow,
    LedgerRows,
    LotRow,
    MembershipRow,
    ObjectRow,
    PostedRow,
    ReceiptRow,
    ThrottleRow,
)
from proxy.ledger.books import Books
from proxy.ledger.events import Delivery, Event, event_id
from proxy.ledger.rows import Account, Entry, Hold, Key, Lot, Membership, Object, Receipt
from proxy.storage.codecs import row_of
from proxy.storage.columns import hold_row, key_digest_row, receipt_row, text, usage_day_rows
from tests.ledger.desk import ACCOUNT

Rows = dict[str, list[Any]]
"""The rows of each stream of a `Ledger`, by the stream's name."""

GRANTED = event_id(ACCOUNT, "credits.granted", "1")
OF_EVENTS: tuple[tuple[str, str, str, object, tuple[str, str, str]], ...] = (
    *(
        ("events", GRANTED, name, value, ("events", GRANTED, "seal"))
        for name, value in (
            *(("type", "credits.expired"), ("at_us", 1), ("place", 9)),
            *(("data", "{}"), ("state", "new"), ("seal", 1)),
        )
    ),
    *(
        (
            "deliveries",
            GRANTED,
            name,
            value,
            ("deliveries", f"{GRANTED}/{'x' if name == 'endpoint' else 'crm'}", found),
        )
        for name, value, found in (
            *(("endpoint", "x", "seal"), ("state", "dead", "seal"), ("attempts", 1, "seal")),
            *(("at_us", 1, "seal"), ("next_at_us", 1, "seal"), ("status", 1, "seal"), ("seal", 1, "seal")),
            *(("reason", "x", "seal"), ("is_of_event", -1, "event_id")),
        )
    ),
)
"""A change of each member of an event or a delivery, and how it is found."""


def rows_of(books: Books) -> Rows:
    """What the books hold."""
    scopes = {key.id: key.account_id for key in books.keys.values()}
    receipts = [(row, books.holds[row.call.id]) for row in books.new_receipts]
    entries = books.new_entries
    return {
        "accounts": [_account(account) for account in books.accounts.values()],
        "keys": [_key(books, key) for key in books.keys.values()],
        "lots": [_lot(lot) for lots in books.lots.values() for lot in lots.values()],
        "entries": [_entry(entry) for entry in entries],
        "charges": [_posted(entry) for entry in entries if entry.kind == "charge"],
        "puts": [*_puts(books)],
        "refunds": [_posted(each) for each in entries if each.kind == "refund" and each.amount_nano > 0],
        "commands": [
            CommandRow(record.account_id, record.command_id, record.digest, record.at_us, record.seq)
            for record in books.commands.values()
        ],
        "holds": [_hold(hold) for hold in books.holds.values()],
        "receipts": [_receipt(row, hold) for row, hold in receipts],
        "objects": [_object(made) for made in books.objects.values()],
        "memberships": [_membership(each) for each in books.memberships.values()],
        "days": list(starmap(_day, usage_day_rows(receipts))),
        "buckets": [
            BucketRow(
                scopes.get(bucket.scope_id, bucket.scope_id),
                bucket.scope_id,
                bucket.window,
                bucket.start_day,
                bucket.spent_nano,
                bucket.held_nano,
            )
            for bucket in books.buckets.values()
        ],
        "events": [_event(event) for event in books.events.values()],
        "deliveries": [_delivery(each) for each in books.deliveries.values()],
        "throttles": [
            ThrottleRow(scopes.get(throttle.scope_id, throttle.scope_id), throttle.scope_id)
            for throttle in books.throttles.values()
        ],
        "end_users": [EndUserRow(*row_of(row)) for row in books.end_users.values()],  # type: ignore[arg-type]
        "counters": [CounterRow(*row_of(row)) for row in books.counters.values()],  # type: ignore[arg-type]
    }


def _event(event: Event) -> EventRow:
    values: Any = row_of(event)
    return EventRow(*values)


def _delivery(delivery: Delivery) -> DeliveryRow:
    values: Any = row_of(delivery)
    return DeliveryRow(*values)


def _puts(books: Books) -> Iterable[PostedRow]:
    """The entries of commands, by the command's id, however that is found."""
    ids = {(record.account_id, record.seq): record.command_id for record in books.commands.values()}
    for entry in books.new_entries:
        if entry.kind in ("grant", "adjust", "fee"):
            yield _posted(entry)
        elif entry.kind in ("void", "refund"):
            yield replace(_posted(entry), ref=ids[entry.account_id, entry.seq], about=entry.ref)


def differences(rows: Rows, *, receipts_since_day: int = 0) -> list[Difference]:
    """What an audit of the rows finds, which may be in any order."""
    streams = {name: sorted(table, key=_order) for name, table in rows.items()}
    return list(audit(LedgerRows(**streams, receipts_since_day=receipts_since_day, totals=None)))


_ORDERS: dict[type, tuple[str, ...]] = {EntryRow: ("account_id", "seq"), ObjectRow: ("account_id", "call_id")}


def _order(row: Any) -> tuple[Any, ...]:
    names = _ORDERS.get(type(row), ("account_id", "ref", "id"))
    return tuple(getattr(row, name) for name in names if hasattr(row, name))


def _account(account: Account) -> AccountRow:
    return AccountRow(
        account.id,
        account.created_at_us,
        account.balance_nano,
        account.held_nano,
        account.debt_nano,
        account.credit_limit_nano,
        account.open_holds,
        account.entries,
        account.next_expiry_us,
        text(account.spending),
        account.owed_nano,
        account.group,
    )


def _membership(membership: Membership) -> MembershipRow:
    row: Any = row_of(membership)
    return MembershipRow(*row)


def _day(*row: Any) -> DayRow:
    return DayRow(*row)


def _key(books: Books, key: Key) -> KeyRow:
    fixed = (key.digest, key.hint, key.created_at_us)
    seal: Any = key_digest_row(books, key)[-1]
    return KeyRow(key.account_id, key.id, key.open_holds, text(key.spending), *fixed, True, seal)


def _lot(lot: Lot) -> LotRow:
    return LotRow(
        lot.account_id,
        lot.id,
        lot.kind,
        lot.amount_nano,
        lot.remaining_nano,
        lot.priority,
        lot.granted_at_us,
        lot.expires_at_us,
    )


def _entry(entry: Entry) -> EntryRow:
    return EntryRow(
        entry.account_id,
        entry.seq,
        entry.kind,
        entry.amount_nano,
        entry.balance_after_nano,
        entry.debt_after_nano,
        entry.ref,
        entry.at_us,
        text(entry.draws),
        entry.note,
    )


def _posted(entry: Entry) -> PostedRow:
    return PostedRow(
        entry.account_id,
        entry.ref,
        entry.seq,
        entry.kind,
        entry.amount_nano,
        entry.at_us,
        text(entry.draws),
        entry.note,
    )


def _hold(hold: Hold) -> HoldRow:
    values: Any = hold_row(hold)
    is_open = hold.state == "open"
    end_user = hold.call.end_user if is_open and hold.call.counts_user else ""
    return HoldRow(*(*values, is_open, end_user))


def _object(made: Object) -> ObjectRow:
    values: Any = row_of(made)
    return ObjectRow(*values)


def _receipt(row: Receipt, hold: Hold) -> ReceiptRow:
    values: Any = receipt_row(row, hold)
    return ReceiptRow(*values)


def columns_named(found: Iterable[Difference]) -> set[tuple[str, str]]:
    """The table and column of each difference."""
    return {(difference.table, difference.column) for difference in found}


def name_of(row: Any) -> str:
    """What a tampering calls a row."""
    match row:
        case BucketRow():
            return f"{row.scope_id}/{row.window}"
        case EntryRow():
            return str(row.seq)
    names = ("scope_id", "event_id", "id", "ref", "day", "account_id")
    return str(next(getattr(row, name) for name in names if hasattr(row, name)))


def tampered(rows: Rows, stream: str, name: str, field: str, value: object) -> Rows:
    """The rows with one field of one row changed: a number is added, anything else takes its place."""

    def changed(row: Any) -> Any:
        if name_of(row) != name:
            return row
        return replace(row, **{field: getattr(row, field) + value if isinstance(value, int) else value})

    assert name in map(name_of, rows[stream])
    return {**rows, stream: list(map(changed, rows[stream]))}
