"""The kinds of rows that few batches touch, and the questions by which commands ask for them.

A plain call touches none of these, and costs nothing for them. What most batches touch has members of its own
in `Needs` and `Books`.

A new table of the ledger begins here, with a `Kind`: the name of the table, the value that a row of it is,
and the fields of its key. It gets a member of `Books`, and its `Table` in `proxy.storage.tables` with a
migration for each engine. Every engine loads, writes, deletes and copies its rows by these alone. What is
left to do by hand is what an audit holds it to. Rows that are asked for otherwise than by their key have a
`Question` here, and what answers it in `proxy.storage.answers`.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, Self, TypeVar, overload

from proxy.ledger.command_record import CommandRecord
from proxy.ledger.end_user_rows import EndUser
from proxy.ledger.events import Delivery, Event, Receiver
from proxy.ledger.invoice_rows import CreditNote, Invoice
from proxy.ledger.level_rows import Level
from proxy.ledger.rows import Claim, Counter, Entry, Membership, Object, Voucher
from proxy.ledger.spending import EndedBucket
from proxy.ledger.top_up_rows import AutoTopUp, TopUp, TopUpReference
from proxy.ledger.windows import Window

RowKey = tuple[str, str]
"""The id of an account, and that of a row of it."""
CommandKey = RowKey
"""The id of an account, and the one that its caller gave a command."""
EntryKey = tuple[str, int]
"""The id of an account, and the number of an entry of it."""
CounterRowKey = tuple[str, str, Window, int]
"""The id of an account, and the name, the window and the first day of a counter of it, or of a bucket."""
InvoiceKey = tuple[str, str, int]
"""The id of an account, and the period and the part of an invoice of it."""
DeliveryKey = tuple[str, str, str]
"""The id of an account, that of an event of it, and the name of an endpoint."""

LevelKey = tuple[str, str, str]
"""The id of an account, a type of events, and the name of a thing that they tell of."""

_K = TypeVar("_K")
_R = TypeVar("_R")


class Question(Generic[_K]):
    """What a command may ask for: rows by so many values each, or by one value that is no tuple."""

    def __init__(self, name: str, width: int = 1) -> None:
        self.name = name
        self.width = width


class Kind(Question[_K], Generic[_K, _R]):
    """A kind of rows: `table` is where they lie, and `key` names the fields of their primary key.

    As a member of `Books` it makes an empty `RowsOfKind` of its rows when it is first looked at.
    """

    def __init__(self, table: str, value: type[_R], key: str) -> None:
        fields = key.split()
        super().__init__(table, len(fields))
        self.value = value
        self.key = tuple(fields)
        self.key_of: Callable[[_R], Any] = attrgetter(*fields)
        self.member = ""
        self.place = len(KINDS)
        KINDS.append(self)

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn what the member is called."""
        self.member = name

    @overload
    def __get__(self, books: None, owner: type) -> Self: ...

    @overload
    def __get__(self, books: Any, owner: type) -> "RowsOfKind[_K, _R]": ...

    def __get__(self, books: Any, owner: type) -> "Self | RowsOfKind[_K, _R]":
        """The rows of some books, which from then on have them as a member of their own."""
        if books is None:
            return self
        rows = RowsOfKind(self)
        setattr(books, self.member, rows)
        books.rare.append(rows)
        return rows


class RowsOfKind(dict[_K, _R]):
    """Rows of one kind by key, as loaded and as replaced.

    `changed` and `gone` are the keys of those that were put and deleted, and `once` those that were added
    unless there is a row with their key already, whether or not it was loaded. What is deleted is deleted
    before anything is put.
    """

    __slots__ = ("changed", "gone", "kind", "once")

    def __init__(self, kind: Kind[_K, _R]) -> None:
        super().__init__()
        self.kind = kind
        self.changed: set[_K] = set()
        self.gone: set[_K] = set()
        self.once: dict[_K, _R] = {}

    def put(self, row: _R) -> None:
        """Replace or add a row."""
        key = self.kind.key_of(row)
        self[key] = row
        self.changed.add(key)

    def add(self, row: _R) -> None:
        """Add a row unless there is one with its key, which may not have been loaded."""
        key = self.kind.key_of(row)
        self.once.setdefault(key, row)
        self.setdefault(key, row)

    def drop(self, row: _R) -> None:
        """Delete a row that is there."""
        key = self.kind.key_of(row)
        del self[key]
        self.once.pop(key, None)
        self.changed.discard(key)
        self.gone.add(key)


KINDS: Final[list[Kind[Any, Any]]] = []
"""All of them, each after those that it refers to: they are written in this order."""

ENDED_BUCKET: Final = Kind[CounterRowKey, EndedBucket](
    "buckets", EndedBucket, "account_id scope_id window start_day"
)
"""Those that are deleted. All that calls still move are `Books.buckets`."""
ENTRY: Final = Kind[EntryKey, Entry]("entries", Entry, "account_id seq")
"""Those of commands that were repeated, and those that are asked for. New ones are `Books.new_entries`."""
COMMAND: Final = Kind[CommandKey, CommandRecord]("commands", CommandRecord, "account_id command_id")
OBJECT: Final = Kind[RowKey, Object]("objects", Object, "account_id id")
MEMBERSHIP: Final = Kind[str, Membership]("memberships", Membership, "account_id")
VOUCHER: Final = Kind[str, Voucher]("vouchers", Voucher, "digest")
CLAIM: Final = Kind[RowKey, Claim]("voucher_claims", Claim, "digest account_id")
COUNTER: Final = Kind[CounterRowKey, Counter]("counters", Counter, "account_id name window start_day")
EVENT: Final = Kind[RowKey, Event]("events", Event, "account_id id")
TOP_UP: Final = Kind[RowKey, TopUp]("top_ups", TopUp, "account_id id")
REFERENCE: Final = Kind[RowKey, TopUpReference]("top_up_references", TopUpReference, "provider reference")
AUTO_TOP_UP: Final = Kind[str, AutoTopUp]("auto_top_ups", AutoTopUp, "account_id")
INVOICE: Final = Kind[InvoiceKey, Invoice]("invoices", Invoice, "account_id period part")
CREDIT_NOTE: Final = Kind[EntryKey, CreditNote]("credit_notes", CreditNote, "account_id seq")
RECEIVER: Final = Kind[RowKey, Receiver]("receivers", Receiver, "account_id id")
DELIVERY: Final = Kind[DeliveryKey, Delivery]("deliveries", Delivery, "account_id event_id endpoint")
LEVEL: Final = Kind[LevelKey, Level]("levels", Level, "account_id type thing")
END_USER: Final = Kind[RowKey, EndUser]("end_users", EndUser, "account_id id")

NAMED_LOT: Final = Question[RowKey]("named_lots", 2)
"""Lots by account and id, also with nothing left."""
REFUND: Final = Question[RowKey]("refunds", 2)
"""The entries of what calls were refunded, by account and call."""
PENDING_TOP_UP: Final = Question[str]("pending_top_ups")
"""The top-ups of accounts that are pending."""
NEWEST_INVOICE: Final = Question[str]("newest_invoices")
"""The newest invoice of each of some accounts: the one that ends last."""
NEWEST_CREDIT_NOTE: Final = Question[str]("newest_credit_notes")
"""The newest credit note of each of some accounts: the one with the last serial."""
CREDIT_NOTES_FROM: Final = Question[EntryKey]("credit_notes_from", 2)
"""The credit notes of an account from that of an entry on."""
RECEIVERS_OF: Final = Question[str]("receivers_of")
"""All receivers of events of some accounts."""
