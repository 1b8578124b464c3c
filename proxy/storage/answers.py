"""What answers the questions of `proxy.ledger.kinds`: which rows, and where in the books they are put.

Every engine makes its statements of these. `{0}`, `{1}` and so on stand for the values that are asked.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.ledger import kinds
from proxy.ledger.books import Books
from proxy.ledger.kinds import KINDS, Kind, Question
from proxy.ledger.rows import Lot
from proxy.storage.codecs import CODECS
from proxy.storage.tables import BY_NAME, LOTS, Table

Put = Callable[[Books, list[tuple[Any, ...]]], None]


class Answer(msgspec.Struct, frozen=True):
    """Rows of a table of which each of some columns is what an SQL expression says.

    A question may have several answers. `index` is the one that SQLite has to follow, where that is not the
    primary key. `locks` says that the rows are no account's, and are locked before anything else is read.
    """

    question: Question[Any]
    table: Table
    match: tuple[tuple[str, str], ...]
    put: Put
    index: str = ""
    locks: bool = False


def _rows_of(kind: Kind[Any, Any]) -> Put:
    value_of = CODECS[kind.name].value

    def put(books: Books, rows: list[tuple[Any, ...]]) -> None:
        of_kind = getattr(books, kind.member)
        for row in rows:
            value = value_of(row)
            of_kind[kind.key_of(value)] = value

    return put


def _put_lots(books: Books, rows: list[tuple[Any, ...]]) -> None:
    for row in rows:
        lot = Lot(*row)
        books.lots.setdefault(lot.account_id, {})[lot.id] = lot


def _by_key(kind: Kind[Any, Any], *, locks: bool) -> Answer:
    match = tuple((name, f"{{{place}}}") for place, name in enumerate(kind.key))
    return Answer(kind, BY_NAME[kind.name], match, _rows_of(kind), locks=locks)


def _answer(question: Question[Any], found: Kind[Any, Any], index: str = "", **match: str) -> Answer:
    return Answer(question, BY_NAME[found.name], tuple(match.items()), _rows_of(found), index)


_RECORDED: Final = "SELECT c.seq FROM commands AS c WHERE c.account_id = {0} AND c.command_id = {1}"
_NEWEST: Final = "SELECT max(i.last_seq) FROM invoices AS i WHERE i.account_id = {0}"
_NEWEST_NOTE: Final = "SELECT max(c.serial) FROM credit_notes AS c WHERE c.account_id = {0}"
_FROM: Final = "CASE WHEN t.seq >= CAST({1} AS BIGINT) THEN t.seq END"

ANSWERS: Final = (
    *(_by_key(kind, locks=kind is kinds.VOUCHER) for kind in KINDS),
    _answer(kinds.COMMAND, kinds.ENTRY, account_id="{0}", seq=f"({_RECORDED})"),
    _answer(kinds.REFUND, kinds.ENTRY, "entries_refunded", account_id="{0}", ref="{1}", kind="'refund'"),
    _answer(kinds.PENDING_TOP_UP, kinds.TOP_UP, "top_ups_pending", account_id="{0}", state="'pending'"),
    _answer(kinds.NEWEST_INVOICE, kinds.INVOICE, account_id="{0}", last_seq=f"({_NEWEST})"),
    _answer(kinds.NEWEST_CREDIT_NOTE, kinds.CREDIT_NOTE, account_id="{0}", serial=f"({_NEWEST_NOTE})"),
    _answer(kinds.CREDIT_NOTES_FROM, kinds.CREDIT_NOTE, account_id="{0}", seq=_FROM),
    _answer(kinds.RECEIVERS_OF, kinds.RECEIVER, account_id="{0}"),
    Answer(kinds.NAMED_LOT, LOTS, (("account_id", "{0}"), ("id", "{1}")), _put_lots),
)
"""All of them. What is locked comes before what is read under that lock."""
