"""The tables of the ledger, one value each: every list of columns is made from these.

A new column is one line here and a migration for each engine, which names its columns itself. A new table is
a value here as well, and a `Kind` in `proxy.ledger.kinds`, which says what else there is to do.
"""

from typing import Final

from proxy.storage.schema import Column as Column  # noqa: PLC0414 - with all tables.
from proxy.storage.schema import Table as Table  # noqa: PLC0414
from proxy.storage.schema import columns_of, named

IDS_OF_A_CALL: Final = 3
"""A call begins with the ids with which its hold begins: its own, its account's and its key's."""


_SUMS: Final = "requests input_tokens cached_input_tokens output_tokens charged_nano"

ACCOUNTS: Final = Table(
    "accounts",
    columns_of(
        named("text", "key", "id"),
        named("text", "changes", "name"),
        named("integer", "fixed", "created_at_us"),
        named("text", "changes", "status"),
        named("integer", "changes", "balance_nano held_nano debt_nano credit_limit_nano"),
        named("integer", "changes", "open_holds entries next_expiry_us"),
        named("json", "changes", "limits spending"),
        named("integer", "changes", "owed_nano"),
        named("text", "changes", "group"),
        named("json", "changes", "alerts"),
    ),
)
KEYS: Final = Table(
    "keys",
    columns_of(
        named("text", "key", "id account_id"),
        named("text", "changes", "name"),
        named("text", "fixed", "digest", secret=True),
        named("text", "fixed", "hint"),
        named("integer", "fixed", "created_at_us"),
        named("text", "changes", "status"),
        named("integer", "changes", "expires_at_us"),
        named("json", "changes", "models limits"),
        named("integer", "changes", "open_holds"),
        named("json", "changes", "spending"),
        named("text", "changes", "billing"),
    ),
)
KEY_DIGESTS: Final = Table(
    "key_digests",
    columns_of(
        named("text", "key", "digest", secret=True),
        named("text", "fixed", "account_id key_id"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
LOTS: Final = Table(
    "lots",
    columns_of(
        named("text", "key", "id account_id"),
        named("text", "fixed", "kind"),
        named("integer", "fixed", "amount_nano"),
        named("integer", "changes", "remaining_nano"),
        named("integer", "fixed", "priority granted_at_us expires_at_us"),
    ),
)
BUCKETS: Final = Table(
    "buckets",
    columns_of(
        named("text", "key", "account_id scope_id window"),
        named("integer", "key", "start_day"),
        named("integer", "changes", "spent_nano held_nano"),
    ),
)
THROTTLES: Final = Table(
    "throttles",
    columns_of(named("text", "key", "account_id scope_id kind"), named("integer", "changes", "level at_us")),
)
HOLDS: Final = Table(
    "holds",
    columns_of(
        named("text", "key", "id account_id"),
        named("text", "fixed", "key_id"),
        named("integer", "changes", "amount_nano tokens"),
        named("text", "changes", "state"),
        named("integer", "fixed", "created_at_us"),
        named("text", "fixed", "owner"),
        named("json", "changes", "call observed"),
        named("integer", "changes", "deadline_us"),
        named("integer", "changes", "seal", secret=True),
    ),
)
ENTRIES: Final = Table(
    "entries",
    columns_of(
        named("text", "key", "account_id"),
        named("integer", "key", "seq"),
        named("text", "fixed", "kind"),
        named("integer", "fixed", "amount_nano balance_after_nano debt_after_nano"),
        named("text", "fixed", "ref"),
        named("integer", "fixed", "at_us"),
        named("json", "fixed", "draws"),
        named("text", "fixed", "note"),
    ),
)
COMMANDS: Final = Table(
    "commands",
    columns_of(
        named("text", "key", "account_id command_id"),
        named("text", "fixed", "digest", secret=True),
        named("integer", "fixed", "at_us seq"),
    ),
)
RECEIPTS: Final = Table(
    "receipts",
    columns_of(
        named("text", "key", "id account_id"),
        named("text", "fixed", "key_id endpoint model upstream upstream_model"),
        named("boolean", "fixed", "stream"),
        named("integer", "fixed", "started_at_us"),
        named("text", "fixed", "outcome"),
        named("integer", "fixed", "status"),
        named("text", "fixed", "basis"),
        named("json", "fixed", "usage"),
        named("integer", "fixed", "ended_at_us first_byte_at_us anomalies charge_nano"),
        named("json", "fixed", "lines"),
        named("text", "fixed", "price_id"),
        named("integer", "fixed", "charged_nano shortfall_nano hold_nano day"),
        named("text", "fixed", "end_user"),
        named("json", "fixed", "attempts"),
        named("json", "fixed", "inferred"),
        named("integer", "fixed", "owed_nano"),
        named("integer", "fixed", "seal", secret=True),
        named("text", "fixed", "metadata run_id"),
    ),
)
OBJECTS: Final = Table(
    "objects",
    columns_of(
        named("text", "key", "account_id id"),
        named("text", "fixed", "kind upstream key_id call_id model"),
        named("integer", "fixed", "created_at_us"),
        named("text", "changes", "seen"),
        named("integer", "changes", "expires_at_us"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
MEMBERSHIPS: Final = Table(
    "memberships",
    columns_of(
        named("text", "key", "account_id"),
        named("text", "changes", "group"),
        named("integer", "changes", "since_us due_us renewed_us"),
        named("text", "changes", "plan"),
        named("integer", "changes", "anchor_us paid_from_us paid_until_us paid_nano included_nano unpaid_us"),
        named("integer", "changes", "quota_day"),
        named("json", "changes", "used"),
        named("integer", "changes", "settled_us held held_at_us"),
        named("integer", "changes", "seal", secret=True),
    ),
)
VOUCHERS: Final = Table(
    "vouchers",
    columns_of(
        named("text", "key", "digest", secret=True),
        named("text", "fixed", "id label kind"),
        named("integer", "fixed", "amount_nano uses days created_at_us expires_at_us"),
        named("integer", "changes", "used"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
VOUCHER_CLAIMS: Final = Table(
    "voucher_claims",
    columns_of(
        named("text", "key", "digest", secret=True),
        named("text", "key", "account_id"),
        named("integer", "fixed", "at_us"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
COUNTERS: Final = Table(
    "counters",
    columns_of(
        named("text", "key", "account_id name window"),
        named("integer", "key", "start_day"),
        named("integer", "changes", "quantity"),
        named("json", "changes", "volume"),
        named("integer", "changes", "seal", secret=True),
    ),
)
EVENTS: Final = Table(
    "events",
    columns_of(
        named("text", "key", "account_id id"),
        named("text", "fixed", "type"),
        named("integer", "fixed", "at_us place"),
        named("text", "fixed", "data"),
        named("text", "changes", "state"),
        named("integer", "changes", "seal", secret=True),
    ),
)
TOP_UPS: Final = Table(
    "top_ups",
    columns_of(
        named("text", "key", "account_id id"),
        named("text", "fixed", "provider origin package"),
        named(
            "integer",
            "fixed",
            "price_cents fee_cents credit_nano bonus_nano days created_at_us expires_at_us",
        ),
        named("text", "changes", "state reference url reason"),
        named("integer", "changes", "closed_at_us"),
        named("text", "changes", "lot_id bonus_lot_id"),
        named("integer", "changes", "refunded_cents disputed_cents returned_nano owed_nano"),
        named("text", "fixed", "method"),
        named("integer", "changes", "seal", secret=True),
    ),
    newer=1,
)
TOP_UP_REFERENCES: Final = Table(
    "top_up_references",
    columns_of(
        named("text", "key", "provider reference"),
        named("text", "fixed", "account_id top_up_id"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
INVOICES: Final = Table(
    "invoices",
    columns_of(
        named("text", "key", "account_id period"),
        named("text", "fixed", "id number"),
        named("integer", "fixed", "first_seq last_seq opening_nano credits_nano charges_nano"),
        named("integer", "fixed", "closing_nano debt_nano issued_at_us"),
        named("json", "fixed", "lines paid parties"),
        named("integer", "key", "part"),
        named("integer", "fixed", "noted_nano"),
        named("integer", "fixed", "seal", secret=True),
    ),
    newer=2,
)
CREDIT_NOTES: Final = Table(
    "credit_notes",
    columns_of(
        named("text", "key", "account_id"),
        named("integer", "key", "seq"),
        named("text", "fixed", "id number"),
        named("integer", "fixed", "serial"),
        named("text", "fixed", "invoice_id invoice_number"),
        named("integer", "fixed", "of_seq amount_nano"),
        named("text", "fixed", "ref name reason"),
        named("integer", "fixed", "issued_at_us"),
        named("json", "fixed", "parties"),
        named("integer", "fixed", "seal", secret=True),
    ),
)
DELIVERIES: Final = Table(
    "deliveries",
    columns_of(
        named("text", "key", "account_id event_id endpoint"),
        named("text", "changes", "state"),
        named("integer", "changes", "attempts at_us next_at_us status"),
        named("text", "changes", "reason"),
        named("integer", "changes", "seal", secret=True),
    ),
)
RECEIVERS: Final = Table(
    "receivers",
    columns_of(
        named("text", "key", "account_id id"),
        named("text", "fixed", "url"),
        named("json", "fixed", "types"),
        named("integer", "changes", "generation"),
        named("integer", "fixed", "created_at_us"),
        named("integer", "changes", "rotated_at_us"),
        named("integer", "changes", "seal", secret=True),
    ),
)
END_USERS: Final = Table(
    "end_users",
    columns_of(
        named("text", "key", "account_id id"),
        named("json", "changes", "limits"),
        named("integer", "changes", "open_holds kept_until_us"),
        named("json", "changes", "sums levels"),
        named("integer", "changes", "seal", secret=True),
    ),
)
AUTO_TOP_UPS: Final = Table(
    "auto_top_ups",
    columns_of(
        named("text", "key", "account_id"),
        named("text", "changes", "state"),
        named("integer", "changes", "threshold_nano amount_nano target_nano daily_nano monthly_nano"),
        named("text", "changes", "customer method"),
        named("integer", "changes", "changed_at_us"),
        named("integer", "changes", "seal", secret=True),
    ),
)
LEVELS: Final = Table(
    "levels",
    columns_of(
        named("text", "key", "account_id type thing"),
        named("text", "fixed", "key_id"),
        named("integer", "changes", "began_us since_us charged_us carry"),
        named("json", "changes", "told"),
        named("text", "changes", "state"),
        named("integer", "changes", "seal", secret=True),
    ),
)
USAGE_DAYS: Final = Table(
    "usage_days",
    columns_of(
        named("text", "key", "account_id"),
        named("integer", "key", "day"),
        named("text", "key", "key_id model"),
        named("integer", "adds", _SUMS),
    ),
)
USAGE_TOTALS: Final = Table(
    "usage_totals",
    columns_of(
        named("text", "key", "group"),
        named("integer", "key", "day"),
        named("text", "key", "id"),
        named("integer", "adds", _SUMS),
    ),
)

BY_NAME: Final = {
    table.name: table
    for table in (
        *(ACCOUNTS, KEYS, KEY_DIGESTS, LOTS, BUCKETS, THROTTLES, HOLDS, ENTRIES, COMMANDS),
        *(RECEIPTS, OBJECTS, MEMBERSHIPS, VOUCHERS, VOUCHER_CLAIMS, COUNTERS, EVENTS),
        *(TOP_UPS, TOP_UP_REFERENCES, AUTO_TOP_UPS, INVOICES, CREDIT_NOTES, RECEIVERS, DELIVERIES),
        *(LEVELS, END_USERS),
        *(USAGE_DAYS, USAGE_TOTALS),
    )
}
"""All of them by name, each after those that it refers to."""

PARTS: Final = {EVENTS: (DELIVERIES,)}
"""Tables whose rows go with a row of another one, the key of which is the beginning of theirs."""
