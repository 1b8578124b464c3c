"""The rows of a database as the ledger's audit takes them."""

from collections.abc import Callable, Iterator
from itertools import starmap
from typing import Any, Final

import msgspec

from proxy.ledger.audit import rows, top_up_rows
from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.end_user_rows import EndUserRow
from proxy.ledger.audit.invoice_rows import CreditNoteRow, InvoiceRow
from proxy.ledger.audit.level_rows import LevelRow
from proxy.ledger.rows import Call
from proxy.storage import columns
from proxy.storage.codecs import CODECS
from proxy.storage.database import TABLES, TOTALS, Scan
from proxy.storage.queries import Query, load
from proxy.storage.tables import HOLDS

AUDIT: Final[dict[str, Query]] = load("portable/audit.sql")

_HOLD_STATE: Final = HOLDS.place("state")
_HOLD_CALL: Final = HOLDS.place("call")
# What only an open hold carries.
_HOLD_BURDEN: Final = [HOLDS.place(name) for name in ("call", "observed", "deadline_us")]


def _hold(*row: Any) -> rows.HoldRow:
    """A hold from all its columns."""
    is_bare = all(row[place] is None for place in _HOLD_BURDEN)
    if row[_HOLD_STATE] != "open":
        return rows.HoldRow(*(*row, not is_bare))
    call = _call(row)
    end_user = call.end_user if call is not None and call.counts_user else ""
    return rows.HoldRow(*(*row, call is not None, end_user))


def _call(row: tuple[Any, ...]) -> Call | None:
    """The call of an open hold, None for what cannot be read."""
    if row[_HOLD_CALL] is None:
        return None
    try:
        return columns.hold_of(row).call
    except msgspec.DecodeError:
        return None


def _auto(*row: Any) -> top_up_rows.AutoRow:
    """How an account is topped up by itself, from all its columns."""
    return top_up_rows.AutoRow(CODECS["auto_top_ups"].value(row), row[-1])


def _top_up(*row: Any) -> top_up_rows.TopUpRow:
    """A top-up from all its columns."""
    return top_up_rows.TopUpRow(CODECS["top_ups"].value(row), row[-1])


_STREAMS: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "accounts": ("audit_accounts", rows.AccountRow),
    "keys": ("audit_keys", rows.KeyRow),
    "lots": ("audit_lots", rows.LotRow),
    "entries": ("audit_entries", rows.EntryRow),
    "charges": ("audit_charges", rows.PostedRow),
    "puts": ("audit_puts", rows.PostedRow),
    "refunds": ("audit_refunds", rows.PostedRow),
    "commands": ("audit_commands", rows.CommandRow),
    "holds": ("audit_holds", _hold),
    "receipts": ("audit_receipts", rows.ReceiptRow),
    "objects": ("audit_objects", rows.ObjectRow),
    "memberships": ("audit_memberships", rows.MembershipRow),
    "days": ("audit_days", rows.DayRow),
    "buckets": ("audit_buckets", rows.BucketRow),
    "throttles": ("audit_throttles", rows.ThrottleRow),
    "counters": ("audit_counters", CounterRow),
    "events": ("audit_events", rows.EventRow),
    "top_ups": ("audit_top_ups", _top_up),
    "end_users": ("audit_end_users", EndUserRow),
    "autos": ("audit_auto_top_ups", _auto),
    "references": ("audit_references", top_up_rows.ReferenceRow),
    "invoices": ("audit_invoices", InvoiceRow),
    "credit_notes": ("audit_credit_notes", CreditNoteRow),
    "deliveries": ("audit_deliveries", rows.DeliveryRow),
    "levels": ("audit_levels", LevelRow),
    "receivers": ("audit_receivers", rows.ReceiverRow),
}
# Nearly every entry belongs to a call, a grant or an adjustment, and is read once more as such.
_READ: Final = (*(table for table in TABLES if table != "key_digests"), "entries")


# A usage day is part of three sums.
_READ_FOR_TOTALS: Final = (TOTALS, *("usage_days",) * 3)


def ledger_of(scan: Scan, on_rows: Callable[[int], object]) -> rows.LedgerRows:
    """All that an audit reads; `on_rows` is called with the number of rows of each chunk."""

    def stream(query: str, kind: Callable[..., Any]) -> Iterator[Any]:
        for chunk in scan.chunks(AUDIT[query].sql):
            on_rows(len(chunk))
            yield from starmap(kind, chunk)

    streams = {name: stream(*source) for name, source in _STREAMS.items()}
    vouchers = stream("audit_vouchers", rows.VoucherRow), stream("audit_claims", rows.ClaimRow)
    totals = None
    if scan.keeps_totals:
        totals = rows.Totals(stream("audit_totals", rows.TotalRow), stream("audit_parts", rows.TotalRow))
    return rows.LedgerRows(
        **streams,
        receipts_since_day=scan.receipts_since_day,
        totals=totals,
        vouchers=vouchers[0],
        claims=vouchers[1],
    )


def count_rows(scan: Scan) -> int:
    """About how many rows an audit reads."""
    return sum(map(scan.count, (*_READ, *_READ_FOR_TOTALS) if scan.keeps_totals else _READ))
