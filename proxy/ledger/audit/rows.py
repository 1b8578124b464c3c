"""What an audit reads, as it is stored: only the columns that have to agree, with JSON still as text.

Every row begins with the account it belongs to. The ledger's own values cannot hold what the rules would
never make, and an audit must be able to read just that.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.end_user_rows import EndUserRow
from proxy.ledger.audit.invoice_rows import CreditNoteRow, InvoiceRow
from proxy.ledger.audit.level_rows import LevelRow
from proxy.ledger.audit.membership_rows import MembershipRow as MembershipRow  # noqa: PLC0414 - with all others.
from proxy.ledger.audit.top_up_rows import AutoRow, ReferenceRow, TopUpRow


class Difference(msgspec.Struct, frozen=True):
    """A figure that differs from what other rows make it. `id` is the row's key, `column` names the figure.

    The column `row` stands for the whole row, where one is missing or one is too many.
    """

    table: str
    id: str
    column: str
    expected: str
    found: str


class OfAccount(Protocol):
    """A row that belongs to an account."""

    @property
    def account_id(self) -> str:
        """The account's id."""
        ...


class AccountRow(msgspec.Struct, frozen=True, gc=False):
    """The figures of an account, and when it was opened, which its keys' seals have."""

    account_id: str
    created_at_us: int
    balance_nano: int
    held_nano: int
    debt_nano: int
    credit_limit_nano: int
    open_holds: int
    entries: int
    next_expiry_us: int
    spending: str
    owed_nano: int = 0
    group: str = ""


class KeyRow(msgspec.Struct, frozen=True, gc=False):
    """A key: how many calls it has in flight, what it spends, and what never changes in it.

    `is_found` if its digest leads to it. `seal` is None for a key that an earlier version has made.
    """

    account_id: str
    id: str
    open_holds: int
    spending: str
    digest: str
    hint: str
    created_at_us: int
    is_found: bool = True
    seal: int | None = None


class LotRow(msgspec.Struct, frozen=True, gc=False):
    """A lot, with or without something left."""

    account_id: str
    id: str
    kind: str
    amount_nano: int
    remaining_nano: int
    priority: int
    granted_at_us: int
    expires_at_us: int


class EntryRow(msgspec.Struct, frozen=True, gc=False):
    """An entry as a link of its account's chain."""

    account_id: str
    seq: int
    kind: str
    amount_nano: int
    balance_after_nano: int
    debt_after_nano: int
    ref: str
    at_us: int
    draws: str
    note: str


class PostedRow(msgspec.Struct, frozen=True, gc=False):
    """An entry, under the id of the call or the command that has posted it.

    `about` is what it refers to itself: the lot, or the call, of what was voided or refunded.
    """

    account_id: str
    ref: str
    seq: int
    kind: str
    amount_nano: int
    at_us: int
    draws: str
    note: str
    about: str = ""


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """That a command with an id of its caller's was carried out, its digest, and the number of its entry."""

    account_id: str
    id: str
    digest: str
    at_us: int
    seq: int


class HoldRow(msgspec.Struct, frozen=True, gc=False):
    """All of a hold in any state. `has_call` is whether it stores a call: to close it takes one.

    Its seal is None unless it is a job's, and where an earlier version has written it. `end_user` is whom it
    counts to, of an open one.
    """

    id: str
    account_id: str
    key_id: str
    amount_nano: int
    tokens: int
    state: str
    created_at_us: int
    owner: str
    call: str | None
    observed: str | None
    deadline_us: int | None
    seal: int | None
    has_call: bool
    end_user: str = ""


class ObjectRow(msgspec.Struct, frozen=True, gc=False):
    """All of an object. Its seal is None where an earlier version has written it."""

    account_id: str
    id: str
    kind: str
    upstream: str
    key_id: str
    call_id: str
    model: str
    created_at_us: int
    seen: str
    expires_at_us: int
    seal: int | None


class ReceiptRow(msgspec.Struct, frozen=True, gc=False):
    """All of a receipt. Its seal is None where an earlier version has written it."""

    id: str
    account_id: str
    key_id: str
    endpoint: str
    model: str
    upstream: str
    upstream_model: str
    stream: int
    started_at_us: int
    outcome: str
    status: int
    basis: str
    usage: str
    ended_at_us: int
    first_byte_at_us: int | None
    anomalies: int
    charge_nano: int
    lines: str
    price_id: str
    charged_nano: int
    shortfall_nano: int
    hold_nano: int
    day: int
    end_user: str
    attempts: str
    inferred: str
    owed_nano: int
    seal: int | None
    metadata: str
    run_id: str


class DayRow(msgspec.Struct, frozen=True, gc=False):
    """What the receipts of one day, key and model sum to."""

    account_id: str
    day: int
    key_id: str
    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_nano: int


class ThrottleRow(msgspec.Struct, frozen=True, gc=False):
    """That a rate limit of an account or of one of its keys is kept count of."""

    account_id: str
    scope_id: str


class BucketRow(msgspec.Struct, frozen=True, gc=False):
    """A bucket of an account or of one of its keys; `account_id` is the scope's own where there is no key.

    `table` is where it lies: the latest ones are with their account or key.
    """

    account_id: str
    scope_id: str
    window: str
    start_day: int
    spent_nano: int
    held_nano: int
    table: str = "buckets"


class TotalRow(msgspec.Struct, frozen=True, gc=False):
    """What usage days of one day sum to over all accounts, or one of these usage days, as a part of that.

    `id` names what is summed, and the day: such as `key/20000/key_1`.
    """

    id: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_nano: int


class Totals(msgspec.Struct, frozen=True):
    """Sums over all accounts, and the parts that they must be the sums of; both by id."""

    sums: Iterable[TotalRow]
    parts: Iterable[TotalRow]


class VoucherRow(msgspec.Struct, frozen=True, gc=False):
    """All of a voucher, with its seal."""

    digest: str
    id: str
    label: str
    kind: str
    amount_nano: int
    uses: int
    days: int
    created_at_us: int
    expires_at_us: int
    used: int
    seal: int


class ClaimRow(msgspec.Struct, frozen=True, gc=False):
    """All of a claim, with its seal, and whether its account is there."""

    digest: str
    account_id: str
    at_us: int
    seal: int
    is_of_account: bool = True


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """All of an event, with its seal."""

    account_id: str
    id: str
    type: str
    at_us: int
    place: int
    data: str
    state: str
    seal: int


class DeliveryRow(msgspec.Struct, frozen=True, gc=False):
    """All of a delivery, with its seal, and whether its event is there."""

    account_id: str
    event_id: str
    endpoint: str
    state: str
    attempts: int
    at_us: int
    next_at_us: int
    status: int
    reason: str
    seal: int
    is_of_event: bool = True


class ReceiverRow(msgspec.Struct, frozen=True, gc=False):
    """All of a receiver of an account's events, with its seal."""

    account_id: str
    id: str
    url: str
    types: str
    generation: int
    created_at_us: int
    rotated_at_us: int
    seal: int


class LedgerRows(msgspec.Struct, frozen=True):
    """All that an audit reads, each once and in order: by account id, then as each member says.

    Ids are in the order of their code points, which is that of their bytes in UTF-8.
    """

    accounts: Iterable[AccountRow]
    keys: Iterable[KeyRow]
    """By id."""
    lots: Iterable[LotRow]
    """In any order."""
    entries: Iterable[EntryRow]
    """By seq."""
    charges: Iterable[PostedRow]
    """The entries of kind `charge`, by ref."""
    puts: Iterable[PostedRow]
    """Entries of kind `grant`, `adjust` and `fee`, by ref; `void` and `refund`, by their command's id."""
    refunds: Iterable[PostedRow]
    """The entries of what calls were refunded, by ref, then by seq."""
    commands: Iterable[CommandRow]
    """By id."""
    holds: Iterable[HoldRow]
    """By id."""
    receipts: Iterable[ReceiptRow]
    """By id."""
    objects: Iterable[ObjectRow]
    """By the id of their call."""
    memberships: Iterable[MembershipRow]
    """One at most."""
    days: Iterable[DayRow]
    """In any order."""
    buckets: Iterable[BucketRow]
    """In any order."""
    throttles: Iterable[ThrottleRow]
    """In any order."""
    counters: Iterable[CounterRow]
    """In any order."""
    events: Iterable[EventRow]
    """In any order."""
    deliveries: Iterable[DeliveryRow]
    """In any order."""
    receivers: Iterable[ReceiverRow] = ()
    """In any order."""
    top_ups: Iterable[TopUpRow] = ()
    references: Iterable[ReferenceRow] = ()
    autos: Iterable[AutoRow] = ()
    end_users: Iterable[EndUserRow] = ()
    """In any order, as the three before."""
    invoices: Iterable[InvoiceRow] = ()
    credit_notes: Iterable[CreditNoteRow] = ()
    """In any order, as invoices."""
    levels: Iterable[LevelRow] = ()
    """In any order."""
    receipts_since_day: int = 0
    """Receipts and holds from before this day may be gone; their usage days are not checked."""
    totals: Totals | None = None
    """None for an engine without sums over all accounts."""
    vouchers: Iterable[VoucherRow] = ()
    """By digest, not by account."""
    claims: Iterable[ClaimRow] = ()
    """By digest, not by account."""


def compare(table: str, id_: str, column: str, expected: object, found: object) -> Iterator[Difference]:
    """The difference between what is expected and what was found, if there is one."""
    if expected != found:
        yield Difference(table, id_, column, str(expected), str(found))
