"""The tables of the ledger, one value each: every list of columns is made from these.

A new column is one line here and a migration for each engine, which names its columns itself. A new table is
a value here as well, and a `Kind` in `proxy.ledger.kinds`, which says what else there is to do.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

Kind = Literal["text", "integer", "boolean", "json"]
"""What a column holds. A boolean is stored as 0 or 1, and JSON as text."""
Mutability = Literal["key", "fixed", "changes", "adds"]
"""Part of the primary key; the same from the row's first day; replaced; a sum that writing a row adds to."""


class Column(msgspec.Struct, frozen=True):
    """One column. No read of an API shows one that is `secret`."""

    name: str
    kind: Kind
    mutability: Mutability
    secret: bool = False

    @property
    def quoted(self) -> str:
        """Its name in SQL, where some names are words of the language."""
        return f'"{self.name}"' if self.name in _RESERVED else self.name


class Table(msgspec.Struct, frozen=True):
    """One table. Its columns come in the schema's order, which is that of the fields of a ledger's value.

    A seal comes behind them, and before columns that are newer: it is made when a row is written. The last
    `newer` columns before it are in it as far as they have anything.
    """

    name: str
    columns: tuple[Column, ...]
    newer: int = 0

    def place(self, column: str) -> int:
        """Where a column stands in a row."""
        return [each.name for each in self.columns].index(column)

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns of the primary key."""
        return tuple(each for each in self.columns if each.mutability == "key")

    @property
    def changing(self) -> tuple[Column, ...]:
        """The columns that a later write replaces or adds to."""
        return tuple(each for each in self.columns if each.mutability in ("changes", "adds"))

    @property
    def adding(self) -> tuple[Column, ...]:
        """Those of them that are sums."""
        return tuple(each for each in self.columns if each.mutability == "adds")

    @property
    def changed(self) -> tuple[Column, ...]:
        """What tells a change of a row: its key and all that can change."""
        return (*self.key, *self.changing)


IDS_OF_A_CALL: Final = 3
"""A call begins with the ids with which its hold begins: its own, its account's and its key's."""
_RESERVED: Final = frozenset({"group", "window"})


def _columns(*groups: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(column for group in groups for column in group)


def _of(kind: Kind, mutability: Mutability, names: str, *, secret: bool = False) -> Iterator[Column]:
    return (Column(name, kind, mutability, secret) for name in names.split())


_SUMS: Final = "requests input_tokens cached_input_tokens output_tokens charged_nano"

ACCOUNTS: Final = Table(
    "accounts",
    _columns(
        _of("text", "key", "id"),
        _of("text", "changes", "name"),
        _of("integer", "fixed", "created_at_us"),
        _of("text", "changes", "status"),
        _of("integer", "changes", "balance_nano held_nano debt_nano credit_limit_nano"),
        _of("integer", "changes", "open_holds entries next_expiry_us"),
        _of("json", "changes", "limits spending"),
        _of("integer", "changes", "owed_nano"),
        _of("text", "changes", "group"),
        _of("json", "changes", "alerts"),
    ),
)
KEYS: Final = Table(
    "keys",
    _columns(
        _of("text", "key", "id account_id"),
        _of("text", "changes", "name"),
        _of("text", "fixed", "digest", secret=True),
        _of("text", "fixed", "hint"),
        _of("integer", "fixed", "created_at_us"),
        _of("text", "changes", "status"),
        _of("integer", "changes", "expires_at_us"),
        _of("json", "changes", "models limits"),
        _of("integer", "changes", "open_holds"),
        _of("json", "changes", "spending"),
        _of("text", "changes", "billing"),
    ),
)
KEY_DIGESTS: Final = Table(
    "key_digests",
    _columns(
        _of("text", "key", "digest", secret=True),
        _of("text", "fixed", "account_id key_id"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
LOTS: Final = Table(
    "lots",
    _columns(
        _of("text", "key", "id account_id"),
        _of("text", "fixed", "kind"),
        _of("integer", "fixed", "amount_nano"),
        _of("integer", "changes", "remaining_nano"),
        _of("integer", "fixed", "priority granted_at_us expires_at_us"),
    ),
)
BUCKETS: Final = Table(
    "buckets",
    _columns(
        _of("text", "key", "account_id scope_id window"),
        _of("integer", "key", "start_day"),
        _of("integer", "changes", "spent_nano held_nano"),
    ),
)
THROTTLES: Final = Table(
    "throttles",
    _columns(_of("text", "key", "account_id scope_id kind"), _of("integer", "changes", "level at_us")),
)
HOLDS: Final = Table(
    "holds",
    _columns(
        _of("text", "key", "id account_id"),
        _of("text", "fixed", "key_id"),
        _of("integer", "changes", "amount_nano tokens"),
        _of("text", "changes", "state"),
        _of("integer", "fixed", "created_at_us"),
        _of("text", "fixed", "owner"),
        _of("json", "changes", "call observed"),
        _of("integer", "changes", "deadline_us"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
ENTRIES: Final = Table(
    "entries",
    _columns(
        _of("text", "key", "account_id"),
        _of("integer", "key", "seq"),
        _of("text", "fixed", "kind"),
        _of("integer", "fixed", "amount_nano balance_after_nano debt_after_nano"),
        _of("text", "fixed", "ref"),
        _of("integer", "fixed", "at_us"),
        _of("json", "fixed", "draws"),
        _of("text", "fixed", "note"),
    ),
)
COMMANDS: Final = Table(
    "commands",
    _columns(
        _of("text", "key", "account_id command_id"),
        _of("text", "fixed", "digest", secret=True),
        _of("integer", "fixed", "at_us seq"),
    ),
)
RECEIPTS: Final = Table(
    "receipts",
    _columns(
        _of("text", "key", "id account_id"),
        _of("text", "fixed", "key_id endpoint model upstream upstream_model"),
        _of("boolean", "fixed", "stream"),
        _of("integer", "fixed", "started_at_us"),
        _of("text", "fixed", "outcome"),
        _of("integer", "fixed", "status"),
        _of("text", "fixed", "basis"),
        _of("json", "fixed", "usage"),
        _of("integer", "fixed", "ended_at_us first_byte_at_us anomalies charge_nano"),
        _of("json", "fixed", "lines"),
        _of("text", "fixed", "price_id"),
        _of("integer", "fixed", "charged_nano shortfall_nano hold_nano day"),
        _of("text", "fixed", "end_user"),
        _of("json", "fixed", "attempts"),
        _of("json", "fixed", "inferred"),
        _of("integer", "fixed", "owed_nano"),
        _of("integer", "fixed", "seal", secret=True),
        _of("text", "fixed", "metadata run_id"),
    ),
)
OBJECTS: Final = Table(
    "objects",
    _columns(
        _of("text", "key", "account_id id"),
        _of("text", "fixed", "kind upstream key_id call_id model"),
        _of("integer", "fixed", "created_at_us"),
        _of("text", "changes", "seen"),
        _of("integer", "changes", "expires_at_us"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
MEMBERSHIPS: Final = Table(
    "memberships",
    _columns(
        _of("text", "key", "account_id"),
        _of("text", "changes", "group"),
        _of("integer", "changes", "since_us due_us renewed_us"),
        _of("text", "changes", "plan"),
        _of("integer", "changes", "anchor_us paid_from_us paid_until_us paid_nano included_nano unpaid_us"),
        _of("integer", "changes", "quota_day"),
        _of("json", "changes", "used"),
        _of("integer", "changes", "settled_us held held_at_us"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
VOUCHERS: Final = Table(
    "vouchers",
    _columns(
        _of("text", "key", "digest", secret=True),
        _of("text", "fixed", "id label kind"),
        _of("integer", "fixed", "amount_nano uses days created_at_us expires_at_us"),
        _of("integer", "changes", "used"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
VOUCHER_CLAIMS: Final = Table(
    "voucher_claims",
    _columns(
        _of("text", "key", "digest", secret=True),
        _of("text", "key", "account_id"),
        _of("integer", "fixed", "at_us"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
COUNTERS: Final = Table(
    "counters",
    _columns(
        _of("text", "key", "account_id name window"),
        _of("integer", "key", "start_day"),
        _of("integer", "changes", "quantity"),
        _of("json", "changes", "volume"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
EVENTS: Final = Table(
    "events",
    _columns(
        _of("text", "key", "account_id id"),
        _of("text", "fixed", "type"),
        _of("integer", "fixed", "at_us place"),
        _of("text", "fixed", "data"),
        _of("text", "changes", "state"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
TOP_UPS: Final = Table(
    "top_ups",
    _columns(
        _of("text", "key", "account_id id"),
        _of("text", "fixed", "provider origin package"),
        _of(
            "integer",
            "fixed",
            "price_cents fee_cents credit_nano bonus_nano days created_at_us expires_at_us",
        ),
        _of("text", "changes", "state reference url reason"),
        _of("integer", "changes", "closed_at_us"),
        _of("text", "changes", "lot_id bonus_lot_id"),
        _of("integer", "changes", "refunded_cents disputed_cents returned_nano owed_nano"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
TOP_UP_REFERENCES: Final = Table(
    "top_up_references",
    _columns(
        _of("text", "key", "provider reference"),
        _of("text", "fixed", "account_id top_up_id"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
INVOICES: Final = Table(
    "invoices",
    _columns(
        _of("text", "key", "account_id period"),
        _of("text", "fixed", "id number"),
        _of("integer", "fixed", "first_seq last_seq opening_nano credits_nano charges_nano"),
        _of("integer", "fixed", "closing_nano debt_nano issued_at_us"),
        _of("json", "fixed", "lines paid parties"),
        _of("integer", "key", "part"),
        _of("integer", "fixed", "noted_nano"),
        _of("integer", "fixed", "seal", secret=True),
    ),
    newer=2,
)
CREDIT_NOTES: Final = Table(
    "credit_notes",
    _columns(
        _of("text", "key", "account_id"),
        _of("integer", "key", "seq"),
        _of("text", "fixed", "id number"),
        _of("integer", "fixed", "serial"),
        _of("text", "fixed", "invoice_id invoice_number"),
        _of("integer", "fixed", "of_seq amount_nano"),
        _of("text", "fixed", "ref name reason"),
        _of("integer", "fixed", "issued_at_us"),
        _of("json", "fixed", "parties"),
        _of("integer", "fixed", "seal", secret=True),
    ),
)
DELIVERIES: Final = Table(
    "deliveries",
    _columns(
        _of("text", "key", "account_id event_id endpoint"),
        _of("text", "changes", "state"),
        _of("integer", "changes", "attempts at_us next_at_us status"),
        _of("text", "changes", "reason"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
RECEIVERS: Final = Table(
    "receivers",
    _columns(
        _of("text", "key", "account_id id"),
        _of("text", "fixed", "url"),
        _of("json", "fixed", "types"),
        _of("integer", "changes", "generation"),
        _of("integer", "fixed", "created_at_us"),
        _of("integer", "changes", "rotated_at_us"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
AUTO_TOP_UPS: Final = Table(
    "auto_top_ups",
    _columns(
        _of("text", "key", "account_id"),
        _of("text", "changes", "state"),
        _of("integer", "changes", "threshold_nano amount_nano target_nano daily_nano monthly_nano"),
        _of("text", "changes", "customer method"),
        _of("integer", "changes", "changed_at_us"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
LEVELS: Final = Table(
    "levels",
    _columns(
        _of("text", "key", "account_id type thing"),
        _of("text", "fixed", "key_id"),
        _of("integer", "changes", "began_us since_us charged_us carry"),
        _of("json", "changes", "told"),
        _of("text", "changes", "state"),
        _of("integer", "changes", "seal", secret=True),
    ),
)
USAGE_DAYS: Final = Table(
    "usage_days",
    _columns(
        _of("text", "key", "account_id"),
        _of("integer", "key", "day"),
        _of("text", "key", "key_id model"),
        _of("integer", "adds", _SUMS),
    ),
)
USAGE_TOTALS: Final = Table(
    "usage_totals",
    _columns(
        _of("text", "key", "group"),
        _of("integer", "key", "day"),
        _of("text", "key", "id"),
        _of("integer", "adds", _SUMS),
    ),
)

BY_NAME: Final = {
    table.name: table
    for table in (
        *(ACCOUNTS, KEYS, KEY_DIGESTS, LOTS, BUCKETS, THROTTLES, HOLDS, ENTRIES, COMMANDS),
        *(RECEIPTS, OBJECTS, MEMBERSHIPS, VOUCHERS, VOUCHER_CLAIMS, COUNTERS, EVENTS),
        *(TOP_UPS, TOP_UP_REFERENCES, AUTO_TOP_UPS, INVOICES, CREDIT_NOTES, RECEIVERS, DELIVERIES),
        LEVELS,
        *(USAGE_DAYS, USAGE_TOTALS),
    )
}
"""All of them by name, each after those that it refers to."""

PARTS: Final = {EVENTS: (DELIVERIES,)}
"""Tables whose rows go with a row of another one, the key of which is the beginning of theirs."""
