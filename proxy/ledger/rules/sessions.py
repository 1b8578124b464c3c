"""The rule of sessions beyond those of calls: that one has ended is told, with what it came to."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Settle, Settled
from proxy.ledger.rows import Object
from proxy.ledger.sessions import ENDED, session_of
from proxy.ledger.windows import iso
from proxy.money import usd_string


def tell_end(books: Books, command: Settle, row: Object, settled: Settled) -> None:
    """Tell of the end of a session, which was charged with it."""
    session = session_of(row.seen)
    books.put_event(
        *(row.account_id, ENDED, row.call_id, command.at_us),
        type=row.model,
        session=session.name,
        reason=session.reason,
        ended_at=iso(session.ended_us),
        call_id=row.call_id,
        charged=usd_string(settled.charged_nano),
    )
